"""The walk over one training run: weights in, rows out, and the order."""
