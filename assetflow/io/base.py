"""The seam of the io room: what an IO manager is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

SMALL_BYTES = 1 << 20
"""What is not larger in memory is written as a whole, and may be synced together with others."""


class Target(Struct, frozen=True):
    """Where a manager may write: `directory` is new, empty and private until the version is published.

    With `is_synced_later` somebody else syncs small files before that; who syncs them all the same does no harm.
    `inputs` are stored versions, of the same kind, that the value was made of, with their directories: what they have
    need not be worked out again.
    """

    key: AssetKey
    partition: str
    directory: Path
    is_synced_later: bool = False
    inputs: tuple[tuple[Version, Path], ...] = ()


class Written(Struct, frozen=True):
    """What a manager wrote into its target.

    `rows` is None for what is not a table. `schema` maps column names, in order, to type names; `columns` to digests of
    their content. `details` is what `read` needs besides the bytes (JSON-able). `files` has the hash of the bytes of
    files in the target by their relative names, for those whose hash is known from writing them. `sizes` has the bytes
    of all files, also by relative names, when all are known; else they are looked at.
    """

    data_hash: str
    rows: int | None
    schema: Mapping[str, str] = field(default_factory=dict[str, str])
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])


class Want(Struct, frozen=True):
    """What a reader asks for.

    form: pandas, arrow, reader (a `RecordBatchReader`), polars, polars_lazy, duckdb (a relation), records
    (`list[dict]`), path, bytes, or python: what was stored, as it was stored (a table arrives as pandas).
    `columns` is a projection in this order, or None for all. `connection` is the DuckDB connection for relations.
    """

    form: str = "python"
    columns: tuple[str, ...] | None = None
    connection: object | None = None


class IOManager(Protocol):
    """Stores values of one kind. Four methods; `assetflow.testing.check_io_manager` is the suite for them."""

    name: str

    def write(self, value: object, target: Target) -> Written:
        """Write the value into `target.directory`. Nothing is visible to readers yet."""
        ...

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """The value of a published version whose files lie in `directory`, in the form that is wanted."""
        ...

    def delete(self, version: Version, directory: Path) -> None:
        """Remove what the manager keeps outside `directory`; the files inside are removed by the storage."""
        ...

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """What is wrong with the stored version, as sentences; empty when all is well. `deep` hashes the content."""
        ...
