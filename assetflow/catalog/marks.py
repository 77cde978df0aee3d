"""What people say of traces: that what there was does not count any more, or that what they accepted was wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from msgspec import Struct

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Pointers, Repoint
from assetflow.model.keys import AssetKey, split_slot


class Said(Struct, frozen=True):
    """What is recorded of an act: why (`invalidated: the feed was wrong`), by whom and when."""

    cause: str
    user: str
    at: float

    @property
    def line(self) -> str:
        """`invalidated by ann: the feed was wrong`, as the history of an asset has it."""
        what, colon, reason = self.cause.partition(": ")
        return f"{what} by {self.user}{colon}{reason}"


class Marks:
    """Recording what people say. Every act is one transaction, in the journal, and in the history of the asset."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._database = catalog, catalog.database

    def invalidate(self, env: str, assets: Iterable[AssetKey], said: Said) -> None:
        """Let no trace that there is satisfy these assets or partitions in the environment, until one runs again."""
        with self._database.transaction():
            env_id = self._catalog.env_number(env)
            for key in assets:
                asset, partition = split_slot(key)
                asset_id = self._catalog.asset_number(asset, said.at)
                part_id = self._catalog.part_number(asset_id, partition)
                self._database.change("put_invalidation", env_id, asset_id, part_id, said.cause, said.user, said.at)
                now = cast("tuple[int, str, int] | None", self._database.row("head_now", env_id, asset_id, part_id))
                if now is not None:  # the head stays; the move only puts a line into its history
                    seq = cast("tuple[int]", self._database.row("next_seq"))[0]
                    self._database.change("move_head", now[0], seq, None, said.at, env_id, asset_id, part_id, now[0])
                    self._database.change("log_pointer", env_id, asset_id, part_id, seq, now[0], said.at, said.line)

    def revoke(self, env: str, accepted: Sequence[int], moves: Sequence[Repoint], said: Said) -> None:
        """Take back what was accepted by these traces, with all that only says the same; and move heads back.

        Raises:
            Superseded: a head is not where it was seen any more.
        """
        with self._database.transaction():
            for trace_id in accepted:
                self._database.change("revoke_claims", trace_id, said.user, said.at)
            Pointers(self._catalog).repoint_within(env, moves, said.at)
