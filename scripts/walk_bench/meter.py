"""What a process has used: CPU seconds, peak memory, bytes read."""

from __future__ import annotations

import functools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any


class Meter:
    """Marks after every checkpoint; the first one warms up and is left out of the medians."""

    def __init__(self) -> None:
        self.began = self._now()
        self.start: tuple[float, ...] | None = None
        self.marks: list[tuple[float, ...]] = []
        self.parts: dict[str, float] = defaultdict(float)

    def ready(self) -> None:
        """Set-up (imports, plan, tokenizer) is over."""
        self.start = self._now()

    def mark(self) -> None:
        """A checkpoint is done."""
        self.marks.append(self._now())
        if len(self.marks) == 1:
            self.parts.clear()

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Adds the CPU seconds of the calling thread in owner.name to a part."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                found = inner(*args, **kwargs)
                return iter(list(found)) if hasattr(found, "__next__") else found
            finally:
                self.parts[part] += time.thread_time() - began

        setattr(owner, name, timed)

    def report(self, **more: Any) -> None:
        """One line of JSON: every checkpoint's wall and CPU seconds, and the whole process's peak memory."""
        end, start = self._now(), self.start or self.began
        steps = [[b - a for a, b in zip(x, y, strict=True)] for x, y in zip(self.marks, self.marks[1:], strict=False)]
        found = {
            "cpu": [s[0] for s in steps],
            "wall": [s[1] for s in steps],
            "read": [s[2] for s in steps],
            "setup_cpu": start[0] - self.began[0],
            "end_cpu": end[0] - self.marks[-1][0],
            "peak_mb": peak_mb(),
            "parts": {k: v / len(steps) for k, v in self.parts.items()},
            **more,
        }
        print("RESULT " + json.dumps(found), flush=True)

    def _now(self) -> tuple[float, ...]:
        counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return time.process_time(), time.perf_counter(), float(counters["rchar"])


def peak_mb() -> float:
    """Peak resident megabytes of this program; ru_maxrss would start from its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
