"""What docs/lab.md shows, computed from the reference tables."""
