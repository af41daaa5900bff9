"""The comparison bench: small models, known tasks."""
