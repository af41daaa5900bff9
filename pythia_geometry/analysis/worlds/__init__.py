"""Made-up training runs whose truth is known."""
