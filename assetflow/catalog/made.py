"""With which definitions what there is was made: counted by the database, however many partitions there are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from msgspec import Struct

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.rows import Row, heads_from_rows, inputs_by_trace
from assetflow.model.keys import AssetKey
from assetflow.model.records import Head


class Made(Struct, frozen=True):
    """What was made of an asset with one definition: the newest of it, and how many partitions (else 1) there are."""

    newest: Head
    count: int


def made_in(catalog: Catalog, env: str) -> Mapping[AssetKey, Sequence[Made]]:
    """Of all that is current in an environment, by asset, what was made last first. Three queries."""
    return _made(catalog, env, catalog.database.rows("made_in", env))


def made_by_run(catalog: Catalog, run_id: int, env: str) -> Mapping[AssetKey, Sequence[Made]]:
    """The same of what a run recorded. Three queries."""
    return _made(catalog, env, catalog.database.rows("made_by_run", run_id))


def _made(catalog: Catalog, env: str, rows: Sequence[Row]) -> Mapping[AssetKey, Sequence[Made]]:
    counts = dict(cast("Sequence[tuple[int, int]]", rows))
    numbers = json.dumps([*counts])
    inputs = inputs_by_trace(catalog.database.rows("inputs_of", numbers))
    found: defaultdict[AssetKey, list[Made]] = defaultdict(list)
    for head in heads_from_rows(catalog.database.rows("traces_by_number", numbers), env, inputs):
        found[head.trace.asset].append(Made(head, counts[head.trace.trace_id]))
    return found
