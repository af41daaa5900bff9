"""One checkpoint, one probe set: activations and answers out."""
