"""Work that makes many objects and keeps all of them, during which looking for garbage only costs time."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def garbage_kept() -> Generator[None]:
    """Without looking for garbage: each look goes through all that is there, so the time would grow with its square."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
