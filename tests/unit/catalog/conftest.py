from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from assetflow.catalog.catalog import Catalog

Opener = Callable[..., Catalog]


@pytest.fixture
def opened(tmp_path: Path) -> Generator[Opener]:
    """Opens the catalog of the test as often as it likes; all are closed in the end."""
    catalogs: list[Catalog] = []

    def open_one(*, write: bool = True, path: Path | None = None) -> Catalog:
        catalogs.append(Catalog(path or tmp_path / "catalog.db", write=write))
        return catalogs[-1]

    yield open_one
    for catalog in catalogs:
        catalog.close()


@pytest.fixture
def catalog(opened: Opener) -> Catalog:
    return opened()
