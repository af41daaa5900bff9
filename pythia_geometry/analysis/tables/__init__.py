"""Tidy tables read with one set of checks, and several curves over the same steps."""
