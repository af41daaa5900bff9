"""Parts of scripts/language_reference.py."""
