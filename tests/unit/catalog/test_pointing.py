"""Names of versions looked up in the log of moves, and heads that are moved without a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Cut, Pointers, Repoint
from assetflow.errors import NoSuchVersion, Superseded
from assetflow.model.keys import AssetKey
from assetflow.model.records import Pin
from assetflow.model.versions import VersionName, parse_version
from tests.unit.catalog.build import ORDERS, REPORT, begin, commit, new_trace, numbers

Opener = Callable[..., Catalog]


def at(catalog: Catalog, key: AssetKey, content: str, moment: float, run_id: int | None = None) -> int:
    head = catalog.heads("dev").get((key, ""))
    seen = None if head is None else head.trace.trace_id
    return catalog.commit("dev", run_id, [new_trace(key, content, seen)], at=moment)[0].trace_id


def number(catalog: Catalog, name: str, key: AssetKey = ORDERS, env: str = "dev") -> int:
    return Pointers(catalog).find(env, key, parse_version(name)).version.number


def moment(seconds: float) -> VersionName:
    return VersionName("time", "then", moment=seconds)


def pin(key: AssetKey, cause: str = "pin") -> Pin:
    return Pin(key, "", cause, "ann@laptop", 7.0)


@pytest.fixture
def three(catalog: Catalog) -> Catalog:
    """Versions 1, 2 and 3 of one asset at 100, 200 and 300; between them one that kept its version."""
    at(catalog, ORDERS, "a", 100.0)
    at(catalog, ORDERS, "b", 200.0)
    at(catalog, ORDERS, "b", 250.0)
    at(catalog, ORDERS, "c", 300.0)
    return catalog


def test_a_version_is_found_by_number_also_one_of_another_environment(three: Catalog) -> None:
    commit(three, ORDERS, "d", env="prod")

    assert [number(three, name) for name in ("1", "v2", "4")] == [1, 2, 4]
    with pytest.raises(NoSuchVersion, match="no version 5") as error:
        number(three, "5")
    assert error.value.facts == ("its versions are 1 to 4",)


def test_steps_back_count_versions_not_runs(three: Catalog) -> None:
    assert [number(three, name) for name in ("HEAD", "HEAD~0", "HEAD~1", "HEAD~2")] == [3, 3, 2, 1]
    with pytest.raises(NoSuchVersion, match="has not had 4 versions"):
        number(three, "HEAD~3")


def test_a_time_means_what_was_current_then(three: Catalog) -> None:
    found = [Pointers(three).find("dev", ORDERS, moment(s)).version.number for s in (100.0, 199.9, 200.0, 299.0, 9e9)]

    assert found == [1, 1, 2, 2, 3]
    with pytest.raises(NoSuchVersion, match="had no version") as error:
        Pointers(three).find("dev", ORDERS, moment(99.0))
    assert "v1, was made 1970-01-01 00:01:40 UTC" in error.value.facts[0]


def test_the_order_of_commits_decides_when_a_clock_went_backwards(catalog: Catalog) -> None:
    at(catalog, ORDERS, "a", 100.0)
    at(catalog, REPORT, "r", 200.0)
    at(catalog, ORDERS, "b", 150.0)  # committed later, by a clock that was set back
    cut = Pointers(catalog).cut("dev", moment(160.0))

    assert cut == Cut("dev", 3)
    assert numbers(Pointers(catalog).at(cut)) == {ORDERS: 2, REPORT: 1}


def test_a_run_means_what_was_current_after_it(catalog: Catalog) -> None:
    first = begin(catalog, at=90.0)
    at(catalog, ORDERS, "a", 100.0, first)
    catalog.finish_run(first, "ok", {}, 110.0)
    idle = begin(catalog, at=120.0)
    catalog.finish_run(idle, "ok", {}, 130.0)
    last = begin(catalog, at=190.0)
    at(catalog, ORDERS, "b", 200.0, last)

    assert [number(catalog, f"run:{run}") for run in (first, idle, last)] == [1, 1, 2]
    with pytest.raises(NoSuchVersion, match="no run #99"):
        number(catalog, "run:99")


def test_an_environment_means_its_head(three: Catalog) -> None:
    commit(three, ORDERS, "p", env="prod")

    assert (number(three, "prod"), number(three, "dev", env="prod")) == (4, 3)
    with pytest.raises(NoSuchVersion, match="no environment `prd`") as error:
        number(three, "prd")
    assert error.value.fix == "did you mean `prod`?"


def test_a_pointer_moves_with_its_cause_and_its_pin(three: Catalog) -> None:
    pointers = Pointers(three)
    head = three.heads("dev")[ORDERS, ""]
    target = pointers.find("dev", ORDERS, parse_version("1"))
    pointers.repoint(
        "dev",
        [Repoint(ORDERS, target.trace.trace_id, head.trace.trace_id, "rollback to v1 by ann", pin(ORDERS, "rollback"))],
        400.0,
    )
    now = three.heads("dev")[ORDERS, ""]

    assert (now.version.number, now.trace.trace_id, now.verified_at) == (1, target.trace.trace_id, 400.0)
    assert now.changed_seq == now.seq > head.seq
    assert [move.cause for move in three.history("dev", ORDERS)] == ["rollback to v1 by ann", "", "", "", ""]
    assert pointers.pins("dev") == {(ORDERS, ""): pin(ORDERS, "rollback")}
    assert pointers.pins("prod") == {}

    pointers.unpin("dev", [ORDERS, REPORT])
    assert pointers.pins("dev") == {}


def test_one_head_that_was_moved_by_another_process_keeps_all_where_they_are(three: Catalog) -> None:
    pointers = Pointers(three)
    commit(three, REPORT, "r")
    heads, target = three.heads("dev"), pointers.find("dev", ORDERS, parse_version("1"))
    seen = heads[ORDERS, ""].trace.trace_id
    moves = [
        Repoint(ORDERS, target.trace.trace_id, seen, "rollback", pin(ORDERS)),
        Repoint(REPORT, heads[REPORT, ""].trace.trace_id, 99, "rollback", pin(REPORT)),
    ]
    with pytest.raises(Superseded):
        pointers.repoint("dev", moves, 400.0)

    assert numbers(three.heads("dev")) == {ORDERS: 3, REPORT: 1}
    assert pointers.pins("dev") == {}
    assert len(three.history("dev", ORDERS)) == 4


def test_a_version_whose_bytes_go_in_this_moment_does_not_become_current(three: Catalog) -> None:
    pointers = Pointers(three)
    target = pointers.find("dev", ORDERS, parse_version("1"))
    three.commit("dev", None, [], at=1.0, lost=[target.version.version_id])
    seen = three.heads("dev")[ORDERS, ""].trace.trace_id
    with pytest.raises(Superseded):
        pointers.repoint("dev", [Repoint(ORDERS, target.trace.trace_id, seen, "", None)], 400.0)

    assert numbers(three.heads("dev")) == {ORDERS: 3}


def test_pointers_survive_in_the_journal(opened: Opener) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    head = catalog.heads("dev")[ORDERS, ""]
    before = catalog.database.journal.last_numbers()[0]
    Pointers(catalog).repoint("dev", [Repoint(ORDERS, head.trace.trace_id, head.trace.trace_id, "", pin(ORDERS))], 5.0)
    Pointers(catalog).unpin("dev", [ORDERS])

    assert catalog.database.journal.last_numbers()[0] == before + 2
