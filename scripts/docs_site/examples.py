"""Lets the reference show `Example:` sections as code, as it does `Examples:`."""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames the section while docstrings are read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Of every module, class and function."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
