"""How long the parts of a step take."""

from __future__ import annotations

import time


class Timer:
    """Adds the time of a `with` block to one of the parts of a step."""

    def __init__(self, seconds: dict[str, float], part: str) -> None:
        self._seconds, self._part = seconds, part

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._part] = self._seconds.get(self._part, 0.0) + time.perf_counter() - self._began
