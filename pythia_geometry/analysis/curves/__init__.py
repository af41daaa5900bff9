"""Behaviour curves from a walk and from any tidy table, in one schema."""

from pythia_geometry.analysis.curves.behaviour import from_walk, read_table

__all__ = ["from_walk", "read_table"]
