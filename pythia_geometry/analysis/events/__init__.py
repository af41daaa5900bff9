"""When something happens to a curve: every rule stated once, and the tables of what it finds."""
