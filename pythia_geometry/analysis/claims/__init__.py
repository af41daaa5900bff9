"""Published claims: who says what, and what each body of evidence says of it."""
