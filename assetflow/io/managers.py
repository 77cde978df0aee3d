"""The IO managers that come with assetflow, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from assetflow.files import Files
from assetflow.io.base import IOManager
from assetflow.io.duckdb_tables import DuckDBIO
from assetflow.io.parquet import ParquetIO
from assetflow.io.plain import FileIO, JsonIO, MemoryIO, NothingIO, PickleIO

__all__ = ["DuckDBIO", "FileIO", "JsonIO", "MemoryIO", "NothingIO", "ParquetIO", "PickleIO", "built_in_managers"]


def built_in_managers(files: Files, *, warehouse: Path, allow_pickle: bool) -> Mapping[str, IOManager]:
    """One manager of each kind, by name, that hashes what it writes as `files` says. Making them touches no file."""
    managers: list[IOManager] = [
        ParquetIO(files), DuckDBIO(warehouse, files), JsonIO(files), FileIO(files),
        PickleIO(files, allowed=allow_pickle), MemoryIO(files.hash), NothingIO(),
    ]  # fmt: skip
    return {manager.name: manager for manager in managers}
