from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.errors import DamagedCatalog, NotWritable
from assetflow.model.keys import AssetKey
from tests.unit.catalog.build import (
    CUSTOMERS,
    ORDERS,
    REPORT,
    attempt,
    begin,
    commit,
    new_trace,
    new_version,
    numbers,
    read,
)

Opener = Callable[..., Catalog]


def test_history_has_every_move_of_the_head_newest_first(catalog: Catalog) -> None:
    run_id = begin(catalog)
    first = commit(catalog, ORDERS, "a")
    catalog.commit(
        "dev", run_id, [new_trace(ORDERS, "b", first.trace_id, inputs=(read("x", REPORT),))], at=1700000005.0
    )
    commit(catalog, REPORT, "r")
    commit(catalog, ORDERS, "c", env="prod")
    commit(catalog, ORDERS, "a", version=None, reuse_version_id=first.version_id, kind="link")
    found = catalog.history("dev", ORDERS)

    assert [(one.version.number, one.trace.kind, one.trace.run_id) for one in found] == [
        (1, "link", None), (2, "run", run_id), (1, "run", None),
    ]  # fmt: skip
    assert [one.verified_at for one in found] == [1700000003.0, 1700000005.0, 1700000003.0]
    assert [one.seq for one in found] == [5, 2, 1]
    assert [one.trace.inputs for one in found] == [(), (read("x", REPORT),), ()]
    assert [one.seq for one in catalog.history("dev", ORDERS, limit=2)] == [5, 2]
    assert catalog.history("dev", AssetKey("unknown")) == []


@pytest.mark.parametrize("schema", [{}, {"schema": "ARROW"}, {"schema": {"id": 1}}], ids=["none", "text", "other"])
def test_what_texts_of_the_catalog_hold_comes_back_whatever_reads_it(
    catalog: Catalog, schema: dict[str, object]
) -> None:
    details = {"top": float("inf"), "half": "\ud800", "big": 2**70, "deep": [{"a": [None, True, -0.5]}], **schema}
    made = new_version("a", details=details, schema={"a\n\ud800": "int64", "ü": "x"}, columns={"ü": "c"})
    commit(catalog, ORDERS, "a", version=made, metadata={"top": float("-inf")}, code_parts={"ü": "\ud800"})
    head = catalog.heads("dev")[ORDERS, ""]
    versions = [
        head.version,
        catalog.heads("dev", [])[ORDERS, ""].version,
        catalog.history("dev", ORDERS)[0].version,
        catalog.version(ORDERS, 1),
        *catalog.live_versions([ORDERS]),
    ]

    assert head.trace.metadata == {"top": float("-inf")}
    assert head.trace.code_parts == {"ü": "\ud800"}
    assert [one and one.details for one in versions] == [details] * 5
    assert [one and one.schema for one in versions] == [{"a\n\ud800": "int64", "ü": "x"}] * 5
    assert [one and one.columns for one in versions] == [{"ü": "c"}] * 5


@pytest.mark.parametrize("damage", ["details = '[1]'", "details = '{'", "columns = '[1]'", "columns = 5"])
def test_value_that_was_never_written_is_damage(catalog: Catalog, damage: str) -> None:
    commit(catalog, ORDERS, "a", version=new_version("a", details={"schema": "ARROW"}))
    with sqlite3.connect(catalog.database.path) as connection:
        connection.execute(f"UPDATE version SET {damage}")
    connection.close()

    with pytest.raises(DamagedCatalog, match="a value in it is not what was written"):
        catalog.heads("dev")
    with pytest.raises(DamagedCatalog, match="a value in it is not what was written"):
        catalog.live_versions([ORDERS])


def test_verifying_a_head_is_not_a_move(catalog: Catalog) -> None:
    commit(catalog, ORDERS, "a")
    catalog.verified("dev", [ORDERS], at=1800000000.0)

    assert [one.verified_at for one in catalog.history("dev", ORDERS)] == [1700000003.0]


def test_traces_are_found_by_input_key_the_newest_first(catalog: Catalog) -> None:
    commit(catalog, ORDERS, "a")
    commit(catalog, ORDERS, "b", inputs=(read("x", CUSTOMERS, number=4),))
    commit(catalog, ORDERS, "other", input_key="key of a")  # the same key gave another content: not deterministic
    commit(catalog, REPORT, "r")
    commit(catalog, CUSTOMERS, "c")
    found = catalog.traces([(ORDERS, ""), (REPORT, "")], "dev")

    assert set(found) == {(ORDERS, ""), (REPORT, "")}
    numbers = {key: [head.version.number for head in heads] for key, heads in found[ORDERS, ""].items()}
    assert numbers == {"key of a": [3, 1], "key of b": [2]}
    assert found[ORDERS, ""]["key of b"][0].trace.inputs == (read("x", CUSTOMERS, number=4),)
    assert found[ORDERS, ""]["key of b"][0].env == "dev"


def test_traces_of_all_environments_can_be_linked(catalog: Catalog) -> None:
    commit(catalog, ORDERS, "a", env="prod")

    assert catalog.traces([(ORDERS, "")], "dev")[ORDERS, ""]["key of a"][0].version.number == 1


def test_traces_of_lost_versions_are_not_offered(catalog: Catalog) -> None:
    first = commit(catalog, ORDERS, "a")
    commit(catalog, ORDERS, "b")
    catalog.commit("dev", None, [], at=1.0, lost=[first.version_id])

    assert set(catalog.traces([(ORDERS, "")], "dev")[ORDERS, ""]) == {"key of b"}


def test_traces_are_cut_off_at_the_oldest(catalog: Catalog) -> None:
    for content in "abc":
        commit(catalog, ORDERS, content)

    assert set(catalog.traces([(ORDERS, "")], "dev", limit=2)[ORDERS, ""]) == {"key of b", "key of c"}
    assert catalog.traces([], "dev") == {}


def test_a_version_is_found_by_its_number(catalog: Catalog) -> None:
    for key, content in ((ORDERS, "a"), (REPORT, "r"), (ORDERS, "b")):
        commit(catalog, key, content)
    found = catalog.version(ORDERS, 2)

    assert found is not None
    assert (found.asset, found.number, found.data_hash) == (ORDERS, 2, "hash of b")
    assert catalog.version(ORDERS, 3) is None
    assert catalog.version(AssetKey("unknown"), 1) is None


def test_a_reader_that_is_open_sees_what_is_committed_later(opened: Opener) -> None:
    writer = opened()
    reader = opened(write=False)
    commit(writer, ORDERS, "a")

    assert numbers(reader.heads("dev")) == {"orders": 1}


def test_heads_and_what_they_read_are_of_one_moment(opened: Opener) -> None:
    # Between the queries of one call somebody commits, as late as it can be: when the second query begins.
    writer, reader = opened(), opened(write=False)
    commit(writer, ORDERS, "a", inputs=(read("x", CUSTOMERS, digest="of a"),))
    begun: list[str] = []

    def interrupt(statement: str) -> None:
        begun.append(statement)
        if len(begun) == 2:
            commit(writer, ORDERS, "b", inputs=(read("x", CUSTOMERS, digest="of b"),))

    reader.database._connection.set_trace_callback(interrupt)
    head = reader.heads("dev")[ORDERS, ""]
    reader.database._connection.set_trace_callback(None)

    assert len(begun) == 2
    assert numbers(writer.heads("dev")) == {"orders": 2}, "the commit did come in between"
    assert (head.trace.input_key, [one.digest for one in head.trace.inputs]) == ("key of a", ["of a"])


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        (lambda catalog: catalog.heads("dev"), 2),
        (lambda catalog: catalog.traces([(AssetKey(f"a{i}"), "") for i in range(1000)], "dev"), 2),
        (lambda catalog: catalog.history("dev", AssetKey("a0")), 2),
        (lambda catalog: catalog.last_attempts("dev"), 1),
        (lambda catalog: catalog.attempts(1), 1),
        (lambda catalog: catalog.attempts_of(AssetKey("a0")), 1),
        (lambda catalog: catalog.runs(), 1),
        (lambda catalog: catalog.file_states(), 1),
    ],
    ids=["heads", "traces", "history", "last_attempts", "attempts", "attempts_of", "runs", "file_states"],
)
def test_the_number_of_statements_does_not_grow_with_the_project(
    opened: Opener, call: Callable[[Catalog], object], allowed: int
) -> None:
    writer = opened()
    counts: list[int] = []
    for size in (2, 60):
        run_id = begin(writer)
        keys = [AssetKey(f"a{i}") for i in range(size)]
        seen = {key: head.trace.trace_id for (key, _), head in writer.heads("dev").items()}
        inputs = (read("x", AssetKey("a0")), read("y", AssetKey("a1")))
        traces = [new_trace(key, f"{size}", seen.get(key), inputs=inputs) for key in keys]
        attempts = [attempt(run_id, key, "materialized") for key in keys]
        writer.commit("dev", run_id, traces, 1.0, attempts, [(key, 1, 2, 3, 4, "d", 5) for key in keys])
        writer.finish_run(run_id, "ok", {}, 2.0)
        reader = opened(write=False)
        reader.database.statements = 0
        call(reader)
        counts.append(reader.database.statements)

    assert counts == [allowed, allowed]


def test_begin_and_verify_are_a_fixed_number_of_statements(opened: Opener) -> None:
    counts: list[int] = []
    for size in (2, 60):
        catalog = opened()
        keys = [AssetKey(f"a{i}") for i in range(size)]
        seen = {key: head.trace.trace_id for (key, _), head in catalog.heads("dev").items()}
        catalog.commit("dev", None, [new_trace(key, f"{size}", seen.get(key)) for key in keys], 1.0)
        run_id = begin(catalog)
        catalog.save_attempts("dev", [attempt(run_id, key) for key in keys])
        catalog.database.statements = 0
        catalog.verified("dev", keys, at=1.0)
        catalog.finish_run(run_id, "ok", {}, at=2.0)
        counts.append(catalog.database.statements)

    assert counts[0] == counts[1] <= 4


def test_a_reader_does_not_write(opened: Opener, tmp_path: Path) -> None:
    commit(opened(), ORDERS, "a")
    reader = opened(write=False)

    with pytest.raises(NotWritable):
        commit(reader, ORDERS, "b")
    with pytest.raises(NotWritable):
        reader.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=1.0)
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        assert connection.execute("SELECT count(*) FROM trace").fetchone() == (1,)
    connection.close()


def test_metadata_may_hold_any_text(catalog: Catalog) -> None:
    odd = "'; DROP TABLE head; -- \" \\ \n \t \x00 🦆 \u202e"
    commit(catalog, ORDERS, odd, metadata={odd: odd}, version=new_version(odd, schema={odd: odd}, columns={odd: odd}))
    head = catalog.heads("dev")[ORDERS, ""]

    assert head.trace.metadata == {odd: odd}
    assert head.version.columns == {odd: odd}
    assert head.trace.input_key == f"key of {odd}"
