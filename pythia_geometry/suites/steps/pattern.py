"""`--pattern`: how the user says that revisions name steps, where no convention that is known reads them.

The expression is somebody's text: it is checked before it is used, and the time that it may take is bounded, which the
standard library's matcher cannot do (`(a+)+b` takes it centuries).
"""

from __future__ import annotations

import re

import regex

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.steps.names import StepLabel

LONGEST = 200
"""Characters of an expression."""

SECONDS = 1.0
"""For one name."""

_WORD = re.compile(r"\w[\w.\-]{0,60}", re.ASCII)
_EXAMPLE = r"--pattern 'run-(?P<step>\d+)'"


class Pattern:
    """A regular expression with a named group `step`, and perhaps `stage`, `seed` and `tokens` (in billions)."""

    def __init__(self, text: str) -> None:
        r"""Checks it.

        Raises:
            PythiaGeometryError: If it is too long, no regular expression, or has no group `step`.
        """
        if len(text) > LONGEST:
            raise PythiaGeometryError(f"--pattern has {len(text)} characters; {LONGEST} are allowed")
        try:
            self._compiled = regex.compile(text)
        except (regex.error, RecursionError, OverflowError, ValueError) as error:
            raise PythiaGeometryError(f"--pattern {text!r} is no regular expression: {error}") from error
        if "step" not in self._compiled.groupindex:
            raise PythiaGeometryError(f"--pattern {text!r} does not say where the step stands. Such as {_EXAMPLE}")
        self.text = text

    def read(self, name: str) -> StepLabel | None:
        """What the name of a branch, tag or folder says; None where the expression does not match all of it.

        Raises:
            PythiaGeometryError: If the group `step` is not a whole number, or matching takes more than a second.
        """
        try:
            match = self._compiled.fullmatch(name, timeout=SECONDS)
        except TimeoutError as error:
            raise PythiaGeometryError(
                f"--pattern {self.text!r} takes more than {SECONDS:.0f} s to read {name!r}. Write it without nested "
                f"repetitions, such as {_EXAMPLE}"
            ) from error
        if match is None:
            return None
        said = match.groupdict()
        step, tokens = self._number(name, said["step"]), said.get("tokens")
        seen = self._number(name, tokens) * 10**9 if tokens else None
        return StepLabel(step, self._word(name, said.get("stage")), seen, self._word(name, said.get("seed")))

    def _number(self, name: str, digits: str | None) -> int:
        if digits is None or not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
            raise PythiaGeometryError(
                f"--pattern {self.text!r} reads {digits!r} in {name!r}, which is no number of up to 15 digits. "
                f"Such as {_EXAMPLE}"
            )
        return int(digits)

    def _word(self, name: str, word: str | None) -> str:
        """A stage or seed: it becomes part of the run's name, and so of file names."""
        if word and not _WORD.fullmatch(word):
            raise PythiaGeometryError(
                f"--pattern {self.text!r} reads the stage or seed {word!r} in {name!r}. Expected letters, digits, '.', "
                "'_' and '-', beginning with a letter or digit"
            )
        return word or ""
