"""A repository on the Hugging Face Hub: what it lists, its files, its faults."""
