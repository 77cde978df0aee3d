"""Content that comes out again while the bytes of the current version are gone: what was just written is current."""

from __future__ import annotations

import shutil

import pytest

from tests.unit.conftest import Workspace

ASSETS = """
@asset
def rates() -> int:
    return 1

@asset
def prices(rates: int) -> int:
    return rates * 10
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    """A project whose `rates` had the same content as v1 and as v3, which is current and has no bytes any more."""
    workspace.assets(ASSETS)
    workspace.materialize().raise_for_status()
    workspace.edit("return 1\n", "return 2\n")
    workspace.materialize().raise_for_status()
    workspace.edit("return 2\n", "return 2 - 1\n")
    workspace.materialize().raise_for_status()
    lose(workspace, 3)
    return workspace


def lose(workspace: Workspace, number: int) -> None:
    project = workspace.project()
    with project._catalog() as catalog:
        version = next(one for one in catalog.live_versions(project.select("rates")) if one.number == number)
    shutil.rmtree(project.settings.storage_path / version.location)


def test_what_reads_it_in_the_same_run_gets_what_was_written(shop: Workspace) -> None:
    shop.edit("rates * 10", "rates * 20")

    result = shop.materialize()

    assert {one.asset: one.state for one in result} == {"rates": "materialized", "prices": "materialized"}
    assert shop.project().read("prices") == 20


def test_an_older_version_of_the_same_content_is_not_relied_upon(shop: Workspace) -> None:
    lose(shop, 1)  # the catalog does not know that these bytes are gone as well

    shop.materialize().raise_for_status()

    assert shop.project().read("rates") == 1
    assert shop.project().plan().is_empty
