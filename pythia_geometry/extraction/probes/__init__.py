"""What is asked of a model: probe sets and files, their checks and marks, tasks of lm-eval, and their tokens."""
