"""Numbers over steps in, claims out. No torch."""
