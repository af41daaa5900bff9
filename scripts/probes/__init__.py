"""Builders of the shipped language probe sets, one module per kind."""
