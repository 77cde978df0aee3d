from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.errors import StorageFailed, Superseded
from assetflow.model.code import CodeNote, CodeSource
from assetflow.model.keys import AssetKey
from assetflow.model.records import Head, Trace, Version
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


def everything(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, read without our code."""
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    connection.close()
    return found


def test_a_head_comes_back_with_every_field_of_trace_and_version(catalog: Catalog) -> None:
    run_id = begin(catalog)
    commit(catalog, ORDERS, "o")
    inputs = (read("", CUSTOMERS, "order", "", None), read("order", ORDERS, "columns", "columns:1f", 1))
    trace = new_trace(
        REPORT, "r", as_of=1699999999.5, inputs=inputs, metadata={"rows_in": 7, "note": "ü", "deep": [{"a": None}]}
    )
    [done] = catalog.commit("dev", run_id, [trace], at=1700000003.75)

    expected = Head(
        env="dev",
        trace=Trace(
            trace_id=done.trace_id, asset=REPORT, partition="", input_key="key of r", code="code 1",
            code_parts={"build": "p1", "a_helper": "p2"}, config={"rate": "0.25", "name": '"ünï"'}, inputs=inputs,
            version_id=done.version_id, version_number=1, data_hash="hash of r", run_id=run_id, kind="run",
            started_at=1700000000.25, finished_at=1700000002.125, as_of=1699999999.5,
            metadata={"rows_in": 7, "note": "ü", "deep": [{"a": None}]},
        ),
        version=Version(
            version_id=done.version_id, asset=REPORT, partition="", number=1, data_hash="hash of r", io="parquet",
            location="store/r", rows=3, size_bytes=1024, schema={"id": "int64", "émail": "string"},
            columns={"id": "c1", "émail": "c2"}, created_at=1700000003.75, state="live",
            details={"format": 2, "parts": ["a", "b"], "nested": {"none": None, "yes": True, "pi": 3.141592653589793}},
        ),
        seq=2, changed_seq=2, verified_at=1700000003.75,
    )  # fmt: skip
    actual = catalog.heads("dev")[REPORT, ""]

    assert actual == expected
    assert list(actual.version.schema) == ["id", "émail"], "columns keep their order"
    assert list(actual.trace.code_parts) == ["build", "a_helper"], "the function itself comes first"
    assert catalog.version(REPORT, 1) == expected.version


def test_what_is_absent_comes_back_absent(catalog: Catalog) -> None:
    version = new_version("x", rows=None, size_bytes=None, schema={}, columns={}, details={}, location="")
    trace = new_trace(ORDERS, "x", version=version, code_parts={}, config={}, code="")
    catalog.commit("dev", None, [trace], at=1.0)
    head = catalog.heads("dev")[ORDERS, ""]

    assert (head.version.rows, head.version.size_bytes, head.trace.as_of, head.trace.run_id) == (None, None, None, None)
    assert (head.version.schema, head.version.columns, head.version.details) == ({}, {}, {})
    assert (head.trace.code_parts, head.trace.config, head.trace.inputs, head.trace.metadata) == ({}, {}, (), {})


def test_a_column_without_a_digest_has_none_afterwards(catalog: Catalog) -> None:
    # An empty digest would be equal to every other empty digest: what reads the column would never be stale.
    commit(catalog, ORDERS, "x", version=new_version("x", columns={"id": "c1"}))
    version = catalog.heads("dev")[ORDERS, ""].version

    assert version.schema == {"id": "int64", "émail": "string"}
    assert version.columns == {"id": "c1"}


def test_each_asset_counts_its_own_versions_from_1(catalog: Catalog) -> None:
    done = [commit(catalog, key, content) for content in "abc" for key in (ORDERS, REPORT)]

    assert [one.number for one in done] == [1, 1, 2, 2, 3, 3]
    assert all(one.is_new and one.is_changed and one.moved for one in done)


def test_equal_content_keeps_the_version_and_moves_the_head_to_the_new_trace(catalog: Catalog) -> None:
    first = commit(catalog, ORDERS, "same", version=new_version("same", location="old bytes"))
    before = catalog.heads("dev")[ORDERS, ""]
    second = commit(catalog, ORDERS, "other key", version=new_version("same", location="new bytes"))
    after = catalog.heads("dev")[ORDERS, ""]

    assert (second.is_new, second.is_changed, second.moved) == (False, False, True)
    assert (second.version_id, second.number) == (first.version_id, 1)
    assert after.version == before.version
    assert after.trace.trace_id == second.trace_id != first.trace_id
    assert after.trace.input_key == "key of other key"
    assert (after.seq, after.changed_seq) == (2, 1), "the content has not changed since the first commit"


def test_equal_content_keeps_the_version_that_is_current_not_the_newest_of_that_content(catalog: Catalog) -> None:
    first = commit(catalog, ORDERS, "a")
    commit(catalog, ORDERS, "b")
    third = commit(catalog, ORDERS, "a again", version=new_version("a"))
    commit(catalog, ORDERS, "a", version=None, reuse_version_id=first.version_id, kind="link")
    again = commit(catalog, ORDERS, "a once more", version=new_version("a"))

    assert (third.number, third.is_new) == (3, True), "the head held something else then"
    assert (again.number, again.version_id) == (1, first.version_id)


def test_equal_content_in_another_format_is_a_new_version(catalog: Catalog) -> None:
    commit(catalog, ORDERS, "a")
    other = commit(catalog, ORDERS, "a", version=new_version("a", io="duckdb"))

    assert (other.number, other.is_new, other.is_changed) == (2, True, False)


def test_a_link_points_at_an_earlier_version(catalog: Catalog) -> None:
    first = commit(catalog, ORDERS, "a")
    commit(catalog, ORDERS, "b")
    linked = commit(catalog, ORDERS, "a", version=None, reuse_version_id=first.version_id, kind="link")
    head = catalog.heads("dev")[ORDERS, ""]

    assert (linked.number, linked.is_new, linked.is_changed, linked.moved) == (1, False, True, True)
    assert (head.version.number, head.trace.kind, head.trace.data_hash) == (1, "link", "hash of a")
    assert (head.seq, head.changed_seq) == (3, 3)


def test_of_two_that_saw_the_same_trace_exactly_one_moves_the_head(opened: Opener) -> None:
    one, other = opened(), opened()
    seen = commit(one, ORDERS, "a").trace_id
    [first] = one.commit("dev", None, [new_trace(ORDERS, "b", seen)], at=1.0)
    [second] = other.commit("dev", None, [new_trace(ORDERS, "c", seen)], at=2.0)

    assert (first.moved, second.moved) == (True, False)
    assert one.heads("dev")[ORDERS, ""].trace.trace_id == first.trace_id
    assert [head.trace.trace_id for head in other.history("dev", ORDERS)] == [first.trace_id, seen]
    assert other.traces([(ORDERS, "")], "dev")[ORDERS, ""]["key of c"][0].trace.trace_id == second.trace_id, (
        "its trace is kept"
    )


def test_of_two_that_saw_no_head_exactly_one_makes_it(opened: Opener) -> None:
    one, other = opened(), opened()
    moved = [catalog.commit("dev", None, [new_trace(ORDERS, "a")], at=1.0)[0].moved for catalog in (one, other)]

    assert moved == [True, False]


def test_a_head_that_is_gone_is_not_made_again_by_one_who_saw_it(catalog: Catalog) -> None:
    [done] = catalog.commit("dev", None, [new_trace(ORDERS, "a", seen=99)], at=1.0)

    assert not done.moved
    assert catalog.heads("dev") == {}


def test_environments_do_not_see_each_others_heads(catalog: Catalog) -> None:
    commit(catalog, ORDERS, "a", env="dev")
    commit(catalog, ORDERS, "b", env="prod")
    commit(catalog, REPORT, "r", env="prod")

    assert numbers(catalog.heads("dev")) == {"orders": 1}
    assert numbers(catalog.heads("prod")) == {"orders": 2, "marts.report": 1}
    assert [head.version.number for head in catalog.history("dev", ORDERS)] == [1]
    assert catalog.heads("nobody made this") == {}


def test_an_error_in_the_middle_of_a_commit_leaves_nothing(catalog: Catalog, tmp_path: Path) -> None:
    run_id = begin(catalog)
    commit(catalog, ORDERS, "a")
    before = everything(tmp_path / "catalog.db")
    twice = (read("order", CUSTOMERS), read("order", CUSTOMERS))  # the same input twice is refused by the database
    traces = [new_trace(REPORT, "r"), new_trace(CUSTOMERS, "c", inputs=twice)]

    with pytest.raises(StorageFailed):
        catalog.commit(
            "another env", run_id, traces, 1.0, [attempt(run_id, REPORT)], [("a.csv", 1, 2, 3, 4, "d", 5)], lost=[1]
        )
    assert everything(tmp_path / "catalog.db") == before


def test_after_an_error_the_same_catalog_gives_the_right_numbers_to_the_right_names(catalog: Catalog) -> None:
    # REPORT and the environment get numbers in a transaction that is undone; afterwards others get those numbers.
    twice = (read("order", CUSTOMERS), read("order", CUSTOMERS))
    with pytest.raises(StorageFailed):
        catalog.commit("prod", None, [new_trace(REPORT, "r"), new_trace(ORDERS, "o", inputs=twice)], at=1.0)
    commit(catalog, ORDERS, "o", env="dev")
    commit(catalog, REPORT, "r", env="prod")

    assert numbers(catalog.heads("dev")) == {"orders": 1}
    assert numbers(catalog.heads("prod")) == {"marts.report": 1}


def test_a_record_that_is_not_json_leaves_nothing_either(catalog: Catalog, tmp_path: Path) -> None:
    before = everything(tmp_path / "catalog.db")

    with pytest.raises(TypeError):
        catalog.commit("dev", None, [new_trace(ORDERS, "a"), new_trace(REPORT, "r", metadata={"x": object()})], at=1.0)
    assert everything(tmp_path / "catalog.db") == before
    assert commit(catalog, REPORT, "r").number == 1


def test_several_traces_become_current_in_one_commit(catalog: Catalog) -> None:
    done = catalog.commit("dev", None, [new_trace(ORDERS, "o"), new_trace(REPORT, "r")], at=1.0)

    assert [one.moved for one in done] == [True, True]
    assert numbers(catalog.heads("dev")) == {"orders": 1, "marts.report": 1}


@pytest.mark.parametrize("state", ["ok", "failed", "cancelled", "died"])
def test_a_run_that_was_ended_cannot_commit(opened: Opener, tmp_path: Path, state: str) -> None:
    zombie, other = opened(), opened()
    run_id = begin(zombie)
    zombie.save_attempts("dev", [attempt(run_id, ORDERS)])
    other.finish_run(run_id, state, {}, at=9.0)
    before = everything(tmp_path / "catalog.db")

    with pytest.raises(Superseded) as caught:
        zombie.commit("dev", run_id, [new_trace(ORDERS, "a")], 10.0, [attempt(run_id, ORDERS, "materialized")])
    assert f"#{run_id}" in caught.value.what
    with pytest.raises(Superseded):
        zombie.save_attempts("dev", [attempt(run_id, ORDERS, "materialized")])
    zombie.finish_run(run_id, "ok", {"materialized": 1}, at=11.0)
    assert everything(tmp_path / "catalog.db") == before


def test_a_run_that_never_began_cannot_commit(catalog: Catalog) -> None:
    with pytest.raises(Superseded):
        catalog.commit("dev", 12, [new_trace(ORDERS, "a")], at=1.0)


def test_lost_bytes_are_stored_again_as_a_new_version(catalog: Catalog) -> None:
    first = commit(catalog, ORDERS, "a")
    seen = catalog.heads("dev")[ORDERS, ""].trace.trace_id
    [again] = catalog.commit("dev", None, [new_trace(ORDERS, "a", seen)], at=5.0, lost=[first.version_id])
    head = catalog.heads("dev")[ORDERS, ""]
    old = catalog.version(ORDERS, 1)

    assert (again.number, again.is_new, again.is_changed) == (2, True, False)
    assert (head.version.number, head.version.state) == (2, "live")
    assert head.changed_seq == 1, "for what reads it nothing has changed"
    assert old is not None
    assert old.state == "lost"
    assert {key: one[0].version.number for key, one in catalog.traces([(ORDERS, "")], "dev")[ORDERS, ""].items()} == {
        "key of a": 2
    }


def test_attempts_of_a_commit_carry_the_version_that_it_made(catalog: Catalog) -> None:
    run_id = begin(catalog)
    made, kept = attempt(run_id, ORDERS, "materialized"), attempt(run_id, REPORT, "failed", version_number=4)
    catalog.commit("dev", run_id, [new_trace(ORDERS, "a")], 1.0, [made, kept])

    assert catalog.attempts(run_id) == [replace(kept), replace(made, version_number=1)]


def test_what_files_looked_like_is_kept_and_overwritten(catalog: Catalog) -> None:
    first, second = ("a.csv", 1, 2, 3, 4, "d1", 5), ("b.csv", 1, 2**62, 3, 4, "d2", 5)
    catalog.commit("dev", None, [new_trace(ORDERS, "a")], 1.0, files=[first, second])
    newer = ("a.csv", 6, 7, 8, 9, "d3", 10)
    catalog.save_file_states([newer])

    assert catalog.file_states() == {"a.csv": newer, "b.csv": second}


def test_definitions_are_stored_once(catalog: Catalog, tmp_path: Path) -> None:
    for content in "abc":
        commit(catalog, ORDERS, content)
    commit(catalog, ORDERS, "d", config={"rate": "0.5"})
    stored = everything(tmp_path / "catalog.db")["fp"]

    assert [json.loads(str(row[4])) for row in stored] == [{"rate": "0.25", "name": '"ünï"'}, {"rate": "0.5"}]


def test_the_code_of_a_definition_is_recorded_once_and_read_back(opened: Opener, tmp_path: Path) -> None:
    build = CodeSource(
        "function", "assets/orders.py", 7, "def build(x):\n    return '\u00e9' + x  # \udce4\n", ("x -> y",)
    )
    rate = CodeSource("value", "", 0, "0.25")
    catalog = opened()
    seen = catalog.commit("dev", None, [new_trace(ORDERS, "a")], 1.0, sources={"p1": build, "p3": rate})[0].trace_id
    catalog.commit("dev", None, [new_trace(ORDERS, "b", seen)], 2.0, sources={"p1": rate, "p2": rate})

    assert catalog.sources(["p1", "p2", "nothing"]) == {"p1": build, "p2": rate}, "p3 is no part of any of them"
    assert opened(write=False).sources(["p1"]) == {"p1": build}


def test_code_is_recorded_with_a_constant_number_of_statements(opened: Opener) -> None:
    def cost(size: int) -> int:
        catalog = opened()
        parts = {f"n{size}-{number}": f"d{size}-{number}" for number in range(size)}
        sources = {digest: CodeSource("function", "a.py", 1, digest) for digest in parts.values()}
        before = catalog.database.statements
        catalog.commit("dev", None, [new_trace(AssetKey(f"a{size}"), "a", code_parts=parts)], 1.0, sources=sources)
        return catalog.database.statements - before

    cost(5)
    assert cost(10) == cost(1000)


def test_what_a_definition_is_made_of_is_read_back(opened: Opener) -> None:
    catalog = opened()
    notes = (CodeNote("opaque", "build", "a lock"), CodeNote("widened", "helpers", "getattr"))
    commit(
        catalog, ORDERS, "a", packages={"pandas": "3.0.1"}, files={"rates/*.csv": "f1"}, env_vars={"REGION": "k1"},
        notes=notes, scheme="afp1", code_version="3",
    )  # fmt: skip
    for reader in (catalog, opened(write=False)):
        trace = reader.heads("dev")[ORDERS, ""].trace
        assert (trace.packages, trace.files, trace.env_vars) == (
            {"pandas": "3.0.1"}, {"rates/*.csv": "f1"}, {"REGION": "k1"},
        )  # fmt: skip
        assert (trace.notes, trace.scheme, trace.code_version) == (notes, "afp1", "3")


@pytest.mark.parametrize("change", [{"packages": {"pandas": "3"}}, {"notes": ()}, {"scheme": "afp2"}, {"code": "2"}])
def test_different_contents_of_one_definition_are_noticed(opened: Opener, change: dict[str, Any]) -> None:
    catalog = opened()
    same: dict[str, Any] = {"input_key": "k", "notes": (CodeNote("opaque", "build", ""),)}
    commit(catalog, ORDERS, "a", **same)
    commit(catalog, ORDERS, "b", **{**same, **change})
    assert not catalog.unsteady(), "another definition may give another content"
    commit(catalog, ORDERS, "c", **same)
    assert catalog.unsteady() == {(ORDERS, "", "k")}
