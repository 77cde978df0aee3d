"""When the function of an asset was called, and what came of it: runs that only reused its results are passed over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.rows import attempt_from_row
from assetflow.model.keys import AssetKey
from assetflow.model.records import Attempt

UNCALLED = ("blocked", "linked", "cut_off")
"""The states of attempts for which no function was called."""


def last_call(catalog: Catalog, env: str | None, asset: AssetKey, parts: Sequence[str] | None = None) -> int | None:
    """The newest run that called the function of an asset, or that of one of these partitions of it.

    `env` None means any. None if there is no such run; a run that goes on counts as soon as it has called it.
    """
    row = catalog.database.row("last_call", env, asset, json.dumps(parts))
    return None if row is None else cast("int", row[0])


def attempts_in(catalog: Catalog, run_id: int, asset: AssetKey, parts: Sequence[str] | None = None) -> list[Attempt]:
    """The attempts of a run at one asset, or at these partitions of it, in the order they began."""
    return [attempt_from_row(row) for row in catalog.database.rows("attempts_in", run_id, asset, json.dumps(parts))]
