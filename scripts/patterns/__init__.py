"""Parts of scripts/patterns_reference.py."""
