"""What the tests say in made-up worlds."""
