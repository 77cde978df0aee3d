"""How long commits took, which only shows when they are done: added to their attempts later, many at once."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from assetflow.catalog.catalog import Catalog
from assetflow.model.keys import AssetKey


class CommitTime(Struct, frozen=True):
    """The seconds that the commit of an attempt took; a transaction that many share is divided among them."""

    run_id: int
    asset: AssetKey
    partition: str
    attempt: int
    seconds: float


def note_commit_times(catalog: Catalog, times: Sequence[CommitTime]) -> None:
    """Add the seconds to attempts that are recorded. A power loss may take them away again."""
    with catalog.database.transaction(is_durable=False):
        rows: list[tuple[object, ...]] = []
        for one in times:
            asset_id = catalog.asset_number(one.asset, 0.0)
            part_id = catalog.part_number(asset_id, one.partition)
            rows.append((round(one.seconds, 6), one.run_id, asset_id, part_id, one.attempt))
        catalog.database.change_many("add_commit_time", rows)
