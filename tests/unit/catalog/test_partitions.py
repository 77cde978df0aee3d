"""Each partition of an asset has versions, a head, traces and attempts of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress

from assetflow.catalog.catalog import Catalog
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import TraceInput
from tests.unit.catalog.build import ORDERS, REPORT, attempt, begin, commit, new_trace, new_version, read

MONDAY, TUESDAY = "2026-01-05", "2026-01-06|JFK"


def test_a_slot_is_put_together_and_taken_apart() -> None:
    assert slot(REPORT, MONDAY) == "marts.report[2026-01-05]"
    assert slot(ORDERS, "") == ORDERS
    for partition in ("", MONDAY, TUESDAY, "a[b]c", "]", "["):
        assert split_slot(slot(REPORT, partition)) == (REPORT, partition)


def test_partitions_move_and_are_numbered_apart(catalog: Catalog) -> None:
    for content, partition in (("a", MONDAY), ("b", TUESDAY)):
        commit(catalog, ORDERS, content, partition=partition)
    monday = catalog.heads("dev")[ORDERS, MONDAY]
    catalog.commit("dev", None, [new_trace(ORDERS, "c", monday.trace.trace_id, partition=MONDAY)], at=5.0)

    heads = catalog.heads("dev")
    assert set(heads) == {(ORDERS, MONDAY), (ORDERS, TUESDAY)}
    assert {part: (head.version.number, head.version.data_hash) for (_, part), head in heads.items()} == {
        MONDAY: (2, "hash of c"), TUESDAY: (1, "hash of b"),
    }  # fmt: skip
    traces = catalog.traces([(ORDERS, MONDAY), (ORDERS, TUESDAY)], "dev")
    assert set(traces[ORDERS, MONDAY]) == {"key of a", "key of c"}
    assert set(traces[ORDERS, TUESDAY]) == {"key of b"}
    assert [(one.trace.partition, one.version.number) for one in catalog.history("dev", ORDERS)] == [
        (MONDAY, 2), (TUESDAY, 1), (MONDAY, 1),
    ]  # fmt: skip
    assert catalog.version(ORDERS, 2, MONDAY) == heads[ORDERS, MONDAY].version
    assert catalog.version(ORDERS, 2, TUESDAY) is None


def test_a_head_that_moved_meanwhile_is_that_of_the_same_partition(catalog: Catalog) -> None:
    commit(catalog, ORDERS, "a", partition=MONDAY)
    late, first = catalog.commit(
        "dev", None, [new_trace(ORDERS, "b", partition=MONDAY), new_trace(ORDERS, "b", partition=TUESDAY)], at=5.0
    )

    assert (late.moved, first.moved) == (False, True)


def test_what_was_read_of_several_partitions_comes_back(catalog: Catalog) -> None:
    for partition in (MONDAY, TUESDAY):
        commit(catalog, ORDERS, partition, partition=partition)
    inputs = tuple(read("orders", slot(ORDERS, part), "value", f"hash of {part}", 1) for part in (MONDAY, TUESDAY))
    catalog.commit("dev", None, [new_trace(REPORT, "r", inputs=inputs)], at=5.0)

    assert catalog.heads("dev")[REPORT, ""].trace.inputs == inputs


def test_partitions_that_were_read_in_a_row_are_one_row(catalog: Catalog) -> None:
    days = [f"2026-01-0{day}" for day in range(1, 8)]
    for day in days:
        commit(catalog, ORDERS, day, partition=day)
        commit(catalog, REPORT, day, partition=day)  # partitions of others lie between them
    third = catalog.heads("dev")[ORDERS, days[2]]
    revised = new_trace(ORDERS, "again", third.trace.trace_id, partition=days[2])
    catalog.commit("dev", None, [revised], at=5.0)

    def inputs(wanted: list[str], contents: dict[str, str], numbers: dict[str, int]) -> tuple[TraceInput, ...]:
        return tuple(
            read("orders", slot(ORDERS, day), "value", f"hash of {contents.get(day, day)}", numbers.get(day, 1))
            for day in wanted
        )

    for name, found, rows in (
        ("whole", inputs(days[3:], {}, {}), 1),
        ("with another number", inputs(days, {days[2]: "again"}, {days[2]: 2}), 3),
        ("with a gap", inputs([days[3], days[5], days[6]], {}, {}), 3),
        ("with a content of no version", inputs(days[3:], {days[4]: "else"}, {}), 4),
    ):
        catalog.commit("dev", None, [new_trace(AssetKey(f"of.{name.split()[-1]}"), "r", inputs=found)], at=5.0)
        trace = catalog.heads("dev")[AssetKey(f"of.{name.split()[-1]}"), ""].trace
        assert trace.inputs == found, name
        assert len(_rows(catalog, trace.trace_id)) == rows, name


def test_attempts_are_of_one_partition(catalog: Catalog) -> None:
    run_id = begin(catalog)
    found = [attempt(run_id, ORDERS, state, partition=part) for state, part in (("failed", MONDAY), ("ok", TUESDAY))]
    catalog.save_attempts("dev", found)

    assert catalog.attempts(run_id) == found
    assert catalog.last_attempts("dev") == {(ORDERS, one.partition): one for one in found}


def test_what_a_check_refused_is_a_version_of_its_partition(catalog: Catalog) -> None:
    run_id = begin(catalog)
    refused = new_trace(ORDERS, "bad", partition=MONDAY, kind="reject", version=new_version("bad"))
    assert catalog.reject(run_id, [refused], 5.0, {}) == [1]

    [found] = catalog.rejected_versions([AssetKey("orders")])
    assert (found.partition, found.data_hash) == (MONDAY, "hash of bad")


def test_a_number_of_a_partition_that_was_undone_is_given_out_anew(catalog: Catalog) -> None:
    class Stop(Exception):
        pass

    def stopping() -> Iterator[tuple[str, int, int, int, int, str, int]]:
        yield ("a.csv", 1, 1, 1, 1, "digest", 1)
        raise Stop

    begin(catalog)
    with suppress(Stop):
        catalog.commit("dev", None, [new_trace(ORDERS, "b", partition=MONDAY)], 5.0, files=stopping())
    commit(catalog, ORDERS, "c", partition=TUESDAY)
    commit(catalog, ORDERS, "d", partition=MONDAY)

    heads = catalog.heads("dev")
    assert {part: head.version.data_hash for (_, part), head in heads.items()} == {
        TUESDAY: "hash of c", MONDAY: "hash of d",
    }  # fmt: skip


def _rows(catalog: Catalog, trace_id: int) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(catalog.database.path)) as connection:
        return connection.execute("SELECT lo, hi FROM trace_in WHERE trace_id = ?", (trace_id,)).fetchall()
