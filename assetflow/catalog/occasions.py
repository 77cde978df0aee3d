"""What a run was begun for: the tick of a job, or the request of a sensor, which becomes that run and no other."""

from __future__ import annotations

from assetflow.catalog.database import Database
from assetflow.errors import Superseded
from assetflow.model.jobs import Occasion, Tick


def begin_occasion(database: Database, tick: Occasion, run_id: int) -> None:
    """Note the run in what it was begun for. The caller owns the transaction.

    Raises:
        Superseded: another process has taken that up.
    """
    if isinstance(tick, Tick):
        done = database.change("tick_begins", run_id, tick.job, tick.scheduled, tick.tries)
        if not done:
            raise Superseded(f"this tick of `{tick.job}` has been taken up by another process")
    else:
        done = database.change("request_begins", run_id, tick.request_id, tick.tries)
        if not done:
            raise Superseded(f"this request of `{tick.sensor}` has been taken up by another process")
