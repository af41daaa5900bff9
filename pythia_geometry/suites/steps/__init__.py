"""Training steps: how revisions name them, which of them are one run's, and which the user means."""
