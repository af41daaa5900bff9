"""A path as somebody typed it."""

from __future__ import annotations

from pathlib import Path

from pythia_geometry.errors import PythiaGeometryError


def typed_path(text: str | Path) -> Path:
    """The path, with `~` read as the user's home folder.

    Raises:
        PythiaGeometryError: If it begins with the home of nobody, or holds a byte that no path has.
    """
    if "\0" in str(text):
        raise PythiaGeometryError(f"{str(text)!r} is no path: it holds a NUL byte. Type it without")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise PythiaGeometryError(f"{text}: there is no such user. Type the folder without ~, or ./{text}") from error
