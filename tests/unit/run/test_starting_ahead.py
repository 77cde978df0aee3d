"""Publishing overlaps with what follows; nothing is published before its inputs are, whatever becomes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.errors import DiskFull
from assetflow.io.storage import Staged, Storage
from assetflow.model.keys import AssetKey
from assetflow.run import session

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

DEADLINE_S = 20.0

TWO = """
import sys
import pandas as pd

SIGNS = sys.modules["signs_of_the_test"]

@asset
def start() -> pd.DataFrame:
    ran("start")
    return pd.DataFrame({"n": range(1000)})

@asset
def end(start: pd.DataFrame) -> pd.DataFrame:
    ran("end")
    SIGNS.began.set()
    return start + 1
"""

LINK = """
@asset
def {name}({before}: pd.DataFrame) -> pd.DataFrame:
    SIGNS.began.set()
    return {before} + 1
"""


class Signs:
    """What the test and the functions of the project tell each other."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.order: list[str] = []


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signs]:
    import sys

    found = Signs()
    monkeypatch.setitem(sys.modules, "signs_of_the_test", found)
    yield found
    found.began.set()


def before_publishing(monkeypatch: pytest.MonkeyPatch, action: Callable[[Staged], None]) -> None:
    """Have something happen at the moment when a step would publish."""
    publish = Storage.publish

    def wrapped(self: Storage, staged: Staged, made: Any = None) -> Any:
        action(staged)
        return publish(self, staged, made)

    monkeypatch.setattr(Storage, "publish", wrapped)


def test_what_follows_is_computed_while_its_input_is_published(
    workspace: Workspace, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(staged: Staged) -> None:
        if staged.key == "start":
            assert signs.began.wait(DEADLINE_S), "`end` did not begin while `start` was being published"
        else:
            with closing(Catalog(workspace.root / ".assetflow" / "catalog.db")) as catalog:
                signs.order.append(f"start is a head: {(AssetKey('start'), '') in catalog.heads('dev')}")

    workspace.assets(TWO)
    before_publishing(monkeypatch, action)
    project = workspace.project()

    result = project.materialize(executor="threads", workers=2)

    assert [one.state for one in result] == ["materialized", "materialized"]
    assert signs.order == ["start is a head: True"]
    assert workspace.ran() == ["start", "end"]
    assert project.read("end")["n"].tolist() == list(range(1, 1001))
    (given,) = result["end"].inputs
    assert given.version_number == 1
    assert project.materialize().run_id is None, "everything is recorded as what it is made of"


def test_what_was_computed_on_a_version_that_did_not_come_is_thrown_away(
    workspace: Workspace, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(staged: Staged) -> None:
        assert staged.key == "start", "nothing is published before its inputs are"
        signs.began.wait(DEADLINE_S)
        raise DiskFull("the disk is full")

    workspace.assets(TWO)
    before_publishing(monkeypatch, action)
    project = workspace.project()

    result = project.materialize(executor="threads", workers=2)

    assert (result["start"].state, result["end"].state) == ("failed", "blocked")
    assert result["end"].blocked_by == ("start",)
    assert workspace.ran() == ["start", "end"]
    assert workspace.stored() == set(), "nothing is left in the store, nor staged"
    assert {row.spec.key: row.state for row in project.status()} == {"start": "failed", "end": "blocked"}


def test_an_input_that_comes_at_the_second_try_is_what_was_announced(
    workspace: Workspace, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(staged: Staged) -> None:
        signs.order.append(staged.key)
        if signs.order == ["start"]:
            signs.began.wait(DEADLINE_S)
            raise OSError("the network was away")

    workspace.assets(TWO.replace("@asset\ndef start", "@asset(retry=Retry(1))\ndef start"))
    before_publishing(monkeypatch, action)
    project = workspace.project()

    result = project.materialize(executor="threads", workers=2)

    assert [one.state for one in result] == ["materialized", "materialized"]
    assert signs.order == ["start", "start", "end"]
    assert project.read("end")["n"].tolist() == list(range(1, 1001))


def test_what_waits_for_a_retry_makes_room_for_it(
    workspace: Workspace, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(staged: Staged) -> None:
        signs.order.append(staged.key)
        if signs.order == ["start"]:
            signs.began.wait(DEADLINE_S)
            raise MemoryError

    links = [LINK.format(name=name, before=before) for before, name in pairwise(["start", "one", "two", "three"])]
    start = TWO.replace("@asset\ndef start", "@asset(retry=Retry(1))\ndef start").split("@asset\ndef end")[0]
    workspace.assets("".join([start, *links]))
    before_publishing(monkeypatch, action)
    project = workspace.project()

    result = project.materialize(executor="threads", workers=2)

    assert [one.state for one in result] == ["materialized"] * 4
    assert signs.order == ["start", "start", "one", "two", "three"]
    assert {a.state for a in project.run_details(1)[1]} == {"failed", "materialized"}


def test_a_failure_on_an_input_that_did_not_come_is_no_failure(
    workspace: Workspace, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(staged: Staged) -> None:
        signs.began.wait(DEADLINE_S)
        raise DiskFull("the disk is full")

    workspace.assets(TWO.replace("return start + 1", "raise ValueError('bad')"))
    before_publishing(monkeypatch, action)

    result = workspace.project().materialize(executor="threads", workers=2)

    assert (result["start"].state, result["end"].state) == ("failed", "blocked")


def test_a_value_that_gave_way_is_read_when_it_is_stored(
    workspace: Workspace, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "usual_limit", lambda: 10_000)
    workspace.assets(
        TWO
        + """
@asset
def other() -> pd.DataFrame:
    return pd.DataFrame({"n": range(1000)})

@asset
def both(start: pd.DataFrame, other: pd.DataFrame) -> int:
    return int((start + other)["n"].sum())
"""
    )
    project = workspace.project()

    project.materialize(executor="threads", workers=3).raise_for_status()

    assert project.read("both") == 2 * sum(range(1000))


def test_a_failed_check_lets_nothing_begin(workspace: Workspace, signs: Signs) -> None:
    workspace.assets(TWO.replace("@asset\ndef start", "@asset(checks=[in_range('n', 0, 10)])\ndef start"))

    result = workspace.project().materialize(executor="threads", workers=2)

    assert (result["start"].state, result["end"].state) == ("rejected", "blocked")
    assert workspace.ran() == ["start"]


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_long_chains_and_diamonds_end_as_without_threads(workspace: Workspace, signs: Signs, workers: int) -> None:
    links = "".join(
        f"""
@asset
def a{n}({"start" if n == 0 else f"a{n - 1}"}: pd.DataFrame, end: pd.DataFrame) -> pd.DataFrame:
    return {"start" if n == 0 else f"a{n - 1}"} + end
"""
        for n in range(12)
    )
    workspace.assets(TWO + links)
    found: list[object] = []
    for env, executor in (("one", "inline"), ("two", "threads")):
        project = workspace.project(env)
        project.materialize(executor=executor, workers=workers, force=True).raise_for_status()
        found.append([(row.spec.key, row.head and row.head.version.data_hash) for row in project.status()])
        assert project.materialize().run_id is None

    assert found[0] == found[1]


LARGE = """
import numpy as np
import pandas as pd

@asset
def base() -> pd.DataFrame:
    return pd.DataFrame({"n": np.arange(600_000), "x": np.arange(600_000) / 2, "text": pd.Series(["a"] * 600_000)})

@asset
def west(base: pd.DataFrame) -> pd.DataFrame:
    base["n"].array[0] = 100  # seen by nobody else
    return base.assign(x=base["x"] * 2)

@asset
def east(base: pd.DataFrame) -> pd.DataFrame:
    return base.assign(n=base["n"] + 1)

@asset
def joined(west: pd.DataFrame, east: pd.DataFrame) -> pd.DataFrame:
    west.loc[1, "x"] = -1.0
    return west.assign(n=east["n"])

@asset
def end(joined: pd.DataFrame, west: pd.DataFrame) -> pd.DataFrame:
    return joined.assign(was=west["x"])
"""


def must_be_large(project: Any) -> None:
    end = project.read("end")
    assert end["n"].tolist() == list(range(1, 600_001))
    assert end["was"].tolist() == list(range(600_000))
    assert end["x"].tolist() == [0.0, -1.0, *range(2, 600_000)]
    assert project.read("west")["n"].tolist() == [100, *range(1, 600_000)]
    assert project.read("base")["n"].tolist() == list(range(600_000))


@pytest.mark.parametrize("executor", ["inline", "threads", "processes"])
def test_large_frames_that_share_columns_end_as_if_each_was_read(workspace: Workspace, executor: str) -> None:
    workspace.assets(LARGE)
    project = workspace.project()

    result = project.materialize(executor=executor, workers=2)

    assert {one.state for one in result} == {"materialized"}
    must_be_large(project)
    assert project.materialize().run_id is None


def test_large_frames_on_what_did_not_come_are_made_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(["base", "west"])
    waiting = [next(failures)]

    def action(staged: Staged) -> None:
        if waiting and staged.key == waiting[0]:
            waiting[:] = [one for one in (next(failures, None),) if one]
            raise DiskFull("the disk is full")

    workspace.assets(LARGE)
    before_publishing(monkeypatch, action)
    project = workspace.project()

    for _ in range(2):
        project.materialize(executor="threads", workers=2)
    result = project.materialize(executor="threads", workers=2)

    assert "failed" not in {one.state for one in result}
    must_be_large(project)
