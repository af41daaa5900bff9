"""The answer of every algorithmic task, computed from the prompt's text in the slowest obvious way."""

from __future__ import annotations

from collections.abc import Callable


def answer(prompt: str) -> str:
    """What should follow a prompt such as `MOD 5 , 4 % 7 =`."""
    name, *tokens, equals = prompt.split(" ")
    assert equals == "="
    return " ".join(TWINS[name](" ".join(tokens)))


def _copy(text: str) -> list[str]:
    return [character for character in text if character != " "]


def _reverse(text: str) -> list[str]:
    found: list[str] = []
    for digit in _copy(text):
        found.insert(0, digit)
    return found


def _sort(text: str) -> list[str]:
    """Counts how often each digit stands there."""
    return [str(value) for value in range(10) for _ in range(text.count(str(value)))]


def _compare(text: str) -> list[str]:
    left, right = _two_numbers(text)
    return ["same" if left == right else "<" if left < right else ">"]


def _parity(text: str) -> list[str]:
    odd = False
    for bit in _copy(text):
        odd = odd != (bit == "1")
    return ["1" if odd else "0"]


def _add(text: str) -> list[str]:
    """By hand: from the right, with a carry."""
    a, b = (_copy(part) for part in text.split(","))
    carry, found = 0, []
    for x, y in zip(reversed(a), reversed(b), strict=True):
        carry, digit = divmod(int(x) + int(y) + carry, 10)
        found.append(str(digit))
    return [str(carry), *reversed(found)]


def _modular_add(text: str) -> list[str]:
    """Counts up on a clock face."""
    numbers, modulus = text.split("%")
    left, right = _two_numbers(numbers)
    hours, hand = _number(modulus), left
    for _ in range(right):
        hand = 0 if hand + 1 == hours else hand + 1
    return _padded(hand, len(_copy(modulus)))


def _multiply(text: str) -> list[str]:
    """Adds again and again."""
    left, right = _two_numbers(text)
    total = 0
    for _ in range(right):
        total += left
    return _padded(total, len(_copy(text)) - 1)


def _two_numbers(text: str) -> tuple[int, int]:
    left, right = text.split(",")
    return _number(left), _number(right)


def _number(text: str) -> int:
    return int("".join(_copy(text)))


def _padded(number: int, width: int) -> list[str]:
    digits = list(str(number))
    while len(digits) < width:
        digits.insert(0, "0")
    return digits


TWINS: dict[str, Callable[[str], list[str]]] = {
    "COPY": _copy,
    "REV": _reverse,
    "SORT": _sort,
    "CMP": _compare,
    "PAR": _parity,
    "ADD": _add,
    "MOD": _modular_add,
    "MUL": _multiply,
}
