"""Which bytes come next, from where, within which disk."""
