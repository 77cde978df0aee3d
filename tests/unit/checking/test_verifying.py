from __future__ import annotations

import hashlib

import pytest

from assetflow.errors import UsageError

CHAIN = """
@asset
def orders() -> Rows:
    ran("orders")
    return [{"id": 1, "price": 2.0}, {"id": 2, "price": 3.0}]

@asset(checks=[unique("id")])
def priced(orders: Rows) -> pa.Table:
    ran("priced")
    return pa.Table.from_pylist([{"id": row["id"], "price": row["price"] * 2} for row in orders])
"""


def content(workspace) -> dict[str, str]:
    """Every file below the state folder, but for caches, by its digest."""
    return {
        str(path.relative_to(workspace.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (workspace.root / ".assetflow").rglob("*")
        if path.is_file() and "cache" not in path.parts and not path.name.endswith(("-wal", "-shm"))
    }


def heads(workspace) -> dict[str, tuple[int, str]]:
    return {
        row.spec.key: (row.head.version.number, row.head.version.data_hash)
        for row in workspace.project().status()
        if row.head is not None
    }


def test_deterministic_asset_comes_out_the_same(workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.ran()

    found = workspace.project().verify()

    assert [(one.asset, one.state, one.version) for one in found] == [("orders", "same", 1), ("priced", "same", 1)]
    assert found.ok
    assert workspace.ran() == ["orders", "priced"]


CHANGEFUL = """
@asset(checks=[unique("id")])
def orders() -> pa.Table:
    ran("orders")
    times = len(Path(__file__).with_name("ran.txt").read_text())
    return pa.table({"id": [1, 2], "times": [times, 7]})
"""


@pytest.mark.parametrize("settings", ["", 'io = "duckdb"\n', 'io = "duckdb"\nduckdb = "native"\n'])
def test_nothing_in_the_store_changes(workspace, settings: str) -> None:
    workspace.assets(CHANGEFUL, settings)
    workspace.materialize()
    before, pointers = content(workspace), heads(workspace)

    found = workspace.project().verify()

    assert found["orders"].state == "differs"
    assert (content(workspace), heads(workspace)) == (before, pointers)


def test_difference_names_the_columns_and_is_nondeterministic(workspace) -> None:
    workspace.assets(CHANGEFUL)
    workspace.materialize()

    [one] = workspace.project().verify("orders")

    assert (one.state, one.columns, one.changed, one.is_nondeterministic) == ("differs", ("times",), (), True)
    assert one.diff is not None
    assert one.diff.changed == 1


def test_it_reads_the_versions_that_the_current_one_read(workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.edit('"price": 2.0', '"price": 20.0')
    workspace.materialize("orders")

    [one] = workspace.project().verify("priced")

    assert one.state == "same"


def test_changed_code_is_run_as_it_is_now_and_said(workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.edit('row["price"] * 2', 'row["price"] + row["price"]')

    [one] = workspace.project().verify("priced")

    assert (one.state, one.changed) == ("same", ("code",))
    workspace.edit('row["price"] + row["price"]', 'row["price"] + 100')
    [two] = workspace.project().verify("priced")
    assert (two.state, two.changed, two.is_nondeterministic) == ("differs", ("code",), False)


def test_asset_that_stores_its_result_itself_is_not_run_again(workspace) -> None:
    workspace.assets(
        """
        @asset
        def delivery() -> None:
            ran("delivery")
        """
    )
    workspace.materialize()
    workspace.ran()

    [one] = workspace.project().verify()

    assert one.state == "cannot"
    assert "stores its result itself" in one.why
    assert workspace.ran() == []


def test_asset_whose_inputs_were_evicted_cannot_be_run(workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.edit('"price": 2.0', '"price": 20.0')
    workspace.materialize("orders")
    for path in workspace.stored():
        if "orders" in path.parts:
            path.unlink()

    [one] = workspace.project().verify("priced")

    assert (one.state, one.why) == ("cannot", "the bytes of orders@1, which it read, are gone")


def test_asset_whose_source_changed_cannot_be_run(workspace) -> None:
    workspace.file("raw.csv", "a\n1\n")
    workspace.assets(
        """
        raw = source("raw", path="raw.csv")

        @asset
        def copied(raw: Rows) -> Rows:
            return raw
        """
    )
    workspace.materialize()
    assert workspace.project().verify()["copied"].state == "same"
    workspace.file("raw.csv", "a\n22\n")

    [one] = workspace.project().verify()

    assert one.state == "cannot"
    assert "source `raw` has changed since" in one.why


def test_asset_that_was_never_made_cannot_be_run(workspace) -> None:
    workspace.assets(CHAIN)

    assert [(one.state, one.why) for one in workspace.project().verify("orders")] == [
        ("cannot", "it has never been materialized")
    ]


def test_new_input_cannot_be_given_a_version(workspace) -> None:
    workspace.assets(CHAIN + "\n@asset\ndef other() -> Rows:\n    return []\n")
    workspace.materialize()
    workspace.edit("def priced(orders: Rows)", "def priced(orders: Rows, other: Rows)")

    [one] = workspace.project().verify("priced")

    assert (one.state, one.why) == ("cannot", "it reads `other` now, which priced@1 did not")


def test_asset_that_raises_has_failed(workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.edit('    ran("priced")', '    raise OSError("no more")')

    found = workspace.project().verify("priced")

    assert not found.ok
    assert (found["priced"].state, found["priced"].why) == ("failed", "OSError: no more")


def test_checks_are_left_out(workspace) -> None:
    workspace.assets(CHAIN.replace('unique("id")', 'unique("id"), row_count(high=2)'))
    workspace.materialize()
    workspace.edit("row_count(high=2)", "row_count(high=1)")

    assert workspace.project().verify("priced")["priced"].state == "same"


def test_outputs_of_one_function_are_made_once(workspace) -> None:
    workspace.assets(
        """
        @assets("one", "two")
        def both() -> dict[str, Rows]:
            ran("both")
            return {"one": [{"a": 1}], "two": [{"a": 2}]}
        """
    )
    workspace.materialize()
    workspace.ran()

    found = workspace.project().verify()

    assert [(one.asset, one.state) for one in found] == [("one", "same"), ("two", "same")]
    assert workspace.ran() == ["both"]


def test_json_value_that_differs_says_where(workspace) -> None:
    workspace.assets(
        """
        @asset
        def facts() -> dict[str, int]:
            ran("facts")
            return {"fixed": 1, "times": len(Path(__file__).with_name("ran.txt").read_text())}
        """
    )
    workspace.materialize()

    [one] = workspace.project().verify()

    assert one.state == "differs"
    assert [path.path for path in one.diff.paths] == ["$.times"]


def test_sample_draws_some_and_the_seed_draws_the_same(workspace) -> None:
    workspace.assets("".join(f"\n@asset\ndef a{n}() -> Rows:\n    return [{{'n': {n}}}]\n" for n in range(6)))
    workspace.materialize()

    first = workspace.project().verify(sample=2)
    again = workspace.project().verify(sample=2, seed=first.seed)

    assert len(first.items) == 2
    assert first.left_out == 4
    assert [one.asset for one in first] == [one.asset for one in again]


def test_sample_of_none_is_refused(workspace) -> None:
    workspace.assets(CHAIN)

    with pytest.raises(UsageError):
        workspace.project().verify(sample=0)


def test_declared_file_that_changed_is_said(workspace) -> None:
    workspace.file("factor.txt", "2")
    workspace.assets(
        """
        @asset(files=["factor.txt"])
        def scaled() -> Rows:
            return [{"n": int((Path(__file__).parent / "factor.txt").read_text())}]
        """
    )
    workspace.materialize()
    assert workspace.project().verify("scaled")["scaled"].state == "same"
    workspace.file("factor.txt", "3")

    [one] = workspace.project().verify("scaled")

    assert (one.state, one.changed, one.is_nondeterministic) == ("differs", ("files",), False)
