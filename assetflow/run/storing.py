"""The storage of a project, made from its settings: by the project itself, by commands, and by child processes."""

from __future__ import annotations

from assetflow.io.storage import Storage
from assetflow.load.settings import Settings


def storage_of(settings: Settings, owner: str = "") -> Storage:
    """The storage of a project, without the project. `owner` marks what is staged, so that it can be told apart."""
    return Storage(
        settings.storage_path, warehouse=settings.warehouse_path, allow_pickle=settings.allow_pickle,
        hash=settings.hash, duckdb=settings.duckdb, views=settings.views_path, owner=owner,
    )  # fmt: skip
