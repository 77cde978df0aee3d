"""Taking up the runs that sensors ask for, one after the other, as ticks are: claimed, run, and recorded as ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assetflow.automation.due import settled
from assetflow.automation.locks import acquired, job_lock
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors

if TYPE_CHECKING:
    from assetflow.load.settings import Settings
    from assetflow.model.sensors import Requested


class TakenRequest(Struct, frozen=True):
    """What was done for one sensor: the request that was taken up, one whose process had died, and if more wait."""

    request: Requested | None = None
    ended: Requested | None = None
    is_more: bool = False


def take_up_request(
    settings: Settings,
    name: str,
    now: float,
    carry_out: Callable[[Requested], Requested],
    clock: Callable[[], float],
) -> TakenRequest | None:
    """Take up the next request of a sensor in this process; None when another one is at one of its runs.

    `carry_out` runs it and gives it back as it ended, whatever goes wrong. `clock` says when that was.

    Raises:
        NotWritable: the folder of the project cannot be written.
    """
    with acquired(job_lock(settings, name), "a sensor", now) as is_mine:
        if not is_mine:
            return None
        with closing(Catalog(settings.catalog_path, write=True)) as catalog:
            taken = take_request(catalog, name, now)
        if taken.request is None:
            return taken
        done = carry_out(taken.request)
        with closing(Catalog(settings.catalog_path, write=True)) as catalog:
            Sensors(catalog).end(done, clock())
        return replace(taken, request=done)


def take_request(catalog: Catalog, name: str, now: float) -> TakenRequest:
    """Claim the next request, and end one whose process died. The caller holds the lock.

    One of which no run began is taken up again, once, as ticks are.
    """
    record = Sensors(catalog)
    state, waiting = record.state(name), record.open_requests().get(name, [])
    left = next((one for one in waiting if one.state == "claimed"), None)
    ended = None
    if left is not None:
        run = None if left.run_id is None else catalog.run(left.run_id)
        ended = settled(left, None if run is None else run.state)
    queue = [one for one in waiting if ended is None or one.request_id != ended.request_id]
    if state.is_paused:
        queue = []
    if not queue and ended is None:
        return TakenRequest()
    taken = record.take(queue[0] if queue else None, ended, now)
    return TakenRequest(taken, ended, len(queue) > 1)
