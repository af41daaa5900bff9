"""What is on the disk: the run folder, its tidy tables, its activations."""
