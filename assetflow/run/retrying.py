"""Trying a failed function again: whether, and after how long."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from assetflow.load.live import Loaded
from assetflow.model.policies import Retry
from assetflow.run.outcome import NextTry
from assetflow.run.task import NodeResult


def with_retries(loaded: Loaded, times: int | None) -> Loaded:
    """The project with so many retries for every function, whatever it declares; None leaves all as it is."""
    if times is None:
        return loaded
    nodes = {
        name: replace(node, retry=Retry(times) if node.retry is None else node.retry.having(times))
        for name, node in loaded.nodes.items()
    }
    return replace(loaded, nodes=nodes)


def next_try(loaded: Loaded, result: NodeResult, chance: Callable[[], float]) -> NextTry | None:
    """The try that follows a failed one; None when there is none. `chance` gives numbers from 0 up to 1 for jitter."""
    retry = loaded.nodes[result.task.node].retry
    attempt = result.task.attempt
    if retry is None or result.error is None or not result.is_retryable or attempt > retry.times:
        return None
    return NextTry(attempt + 1, retry.times + 1, retry.wait_s(attempt, chance), result.error)
