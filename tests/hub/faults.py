"""How an answer goes wrong: rules that a test puts on the Hub."""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.hub.api import Answer, Request

Action = Literal["status", "reset", "truncate", "corrupt", "stall"]


@dataclass
class Fault:
    """One rule: which answers it spoils, and how.

    Actions:

    - ``status``: answer ``status`` with ``headers`` instead, e.g. 429 and ``{"Retry-After": "1"}``.
    - ``reset``: reset the connection, before the headers, or after ``at_byte`` bytes of the body.
    - ``truncate``: announce the whole body, close the connection after ``at_byte`` bytes.
    - ``corrupt``: flip the bits of the byte at ``at_byte``; size and headers stay as they were.
    - ``stall``: wait ``seconds`` before the headers, or after ``at_byte`` bytes of the body, then go on.

    Args:
        action: What happens.
        path: Regular expression, searched in the request's path and query and in its label
            (``branch/file``, also where the request names a commit or a hash).
        method: Only this method; None for any.
        skip: How many matching answers pass unharmed first.
        count: How many answers are spoiled after that; None for all.
        status: For ``status``.
        headers: For ``status``.
        at_byte: Place in the body. A rule with a place passes over answers whose body does not reach it,
            so ``at_byte=100_000`` spoils weights and leaves small files alone. ``truncate`` and ``corrupt``
            act in the middle of the body if no place is given.
        seconds: For ``stall``.

    Attributes:
        matched: How many answers matched so far.
        fired: How many of them were spoiled.

    Example:
        >>> Fault("status", path="/cdn/", status=429, headers={"Retry-After": "1"}).count
        1
    """

    action: Action
    path: str = ""
    method: str | None = None
    skip: int = 0
    count: int | None = 1
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    at_byte: int | None = None
    seconds: float = 0.0
    matched: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    @property
    def in_body(self) -> bool:
        """Whether it acts inside the body, not before the headers."""
        return self.action in ("truncate", "corrupt") or (
            self.action in ("reset", "stall") and self.at_byte is not None
        )

    def place(self, answer: Answer) -> int:
        """The byte of the body at which it acts."""
        return answer.length // 2 if self.at_byte is None else self.at_byte

    def matches(self, request: Request, answer: Answer) -> bool:
        """Whether it speaks of this answer, its counts aside."""
        if self.method not in (None, request.method):
            return False
        if self.in_body and (request.method == "HEAD" or self.place(answer) >= answer.length):
            return False
        return any(re.search(self.path, text) for text in (request.target, answer.label))


class Faults:
    """Picks the fault for an answer: the first rule that matches and is due."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def due(self, rules: Sequence[Fault], request: Request, answer: Answer) -> Fault | None:
        """The rule to apply, its counts taken; None if the answer goes out as it is."""
        with self._lock:
            for rule in list(rules):
                if not rule.matches(request, answer):
                    continue
                rule.matched += 1
                spent = rule.count is not None and rule.fired >= rule.count
                if rule.matched > rule.skip and not spent:
                    rule.fired += 1
                    return rule
        return None
