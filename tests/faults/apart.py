"""Calls a function in a new process, for tests that fork.

A test runs among hundreds of others in one process, whose libraries may have threads by then. A forked child has none
of them, and waits for ever where it needs one (Polars does). A new process has no threads, so it may fork.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def apart(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What the function returns there, or raises. It, its arguments and its result are pickled."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **options).result()
