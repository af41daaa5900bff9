"""What lies in a revision: which files are its weights, what its index says, and kinds that are not read."""
