"""Tables of behaviour from a walk and from elsewhere, in one schema."""
