from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from assetflow.cli.main import main
from assetflow.errors import NoSuchAsset, NoSuchVersion, UsageError
from assetflow.explaining.answer import Cause, CodeEvidence, DataEvidence

# From an asset to the root causes of what would be done with it, each with the smallest evidence.

SHOP = """
from tax import net

raw = source("raw", path="raw.csv")

class Menu(Config):
    lowest: float = 0.0

@asset(checks=[unique("id")])
def orders(raw: Rows, config: Menu) -> pa.Table:
    return pa.Table.from_pylist([{"id": row["id"], "price": net(row["price"])} for row in raw])

@asset
def other() -> Rows:
    return [{"a": 1}]

@asset
def revenue(orders: Rows, other: Rows) -> Rows:
    return [{"sum": sum(row["price"] for row in orders) + other[0]["a"]}]
"""

TAX = '''
RATE = 0.2

def net(gross):
    """Without tax."""
    return with_rate(gross)

def with_rate(gross):
    # what is left
    return round(gross / (1 + RATE), 2)
'''


@pytest.fixture
def shop(workspace):
    workspace.file("tax.py", TAX)
    workspace.file("raw.csv", "id,price\n1,12.0\n2,24.0\n")
    workspace.assets(SHOP, settings="[config.orders]\nlowest = 1.0\n")
    workspace.materialize()
    return workspace


def why(workspace, key: str = "revenue", **options):
    return workspace.project().why(key, **options)


def code(cause: Cause) -> CodeEvidence:
    assert isinstance(cause.evidence, CodeEvidence)
    return cause.evidence


def data(cause: Cause) -> DataEvidence:
    assert isinstance(cause.evidence, DataEvidence)
    return cause.evidence


def test_current_asset_says_what_made_it_current(shop) -> None:
    found = why(shop)

    assert (found.action, found.causes) == ("current", ())
    assert found.standing is not None
    assert (found.standing.version, found.standing.reason) == (1, "never_materialized")
    assert dict(found.standing.inputs) == {"orders": 1, "other": 1}


def test_constant_two_helpers_away_is_shown_with_place_texts_and_way(shop) -> None:
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")

    found = why(shop)
    [cause] = found.causes

    assert found.action == "maybe"
    assert found.maybe_skipped == ("orders",)
    assert (cause.code, cause.path) == ("helper_changed", ("orders", "revenue"))
    evidence = code(cause)
    assert (evidence.name, evidence.file, evidence.line) == ("tax.RATE", "tax.py", 2)
    assert evidence.lines == ("- RATE = 0.2", "+ RATE = 0.25")
    assert evidence.chain == ("orders", "tax.net", "tax.with_rate", "tax.RATE")


def test_only_the_changed_lines_of_a_helper_are_shown(shop) -> None:
    shop.edit("return round(gross / (1 + RATE), 2)", "return round(gross / (1 + RATE), 3)", "tax.py")

    evidence = code(why(shop).causes[0])

    assert evidence.lines == (
        "      # what is left",
        "-     return round(gross / (1 + RATE), 2)",
        "+     return round(gross / (1 + RATE), 3)",
    )
    assert evidence.line == 10


def test_own_code_is_named_as_such_and_shows_its_lines(shop) -> None:
    shop.edit("+ other[0]", "- other[0]")

    found = why(shop)
    [cause] = found.causes

    assert (found.action, cause.code, cause.text) == ("run", "code_changed", "the code of `revenue`")
    assert [line[0] for line in code(cause).lines] == [" ", "-", "+"]
    assert "orders (current)" in found.not_causes
    assert found.can_accept


def test_own_code_and_a_helper_are_two_causes_the_nearer_first(shop) -> None:
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")
    shop.edit('net(row["price"])', 'net(row["price"] + 1)')

    assert [(one.code, code(one).name) for one in why(shop, "orders").causes] == [
        ("code_changed", "orders"),
        ("helper_changed", "tax.RATE"),
    ]


def test_helper_that_is_new_and_one_that_is_gone(shop) -> None:
    shop.edit("return with_rate(gross)", "return plain(gross)", "tax.py")
    shop.edit("def with_rate", "def plain(gross):\n    return gross\n\ndef with_rate", "tax.py")

    changes = {code(one).name: code(one).change for one in why(shop, "orders").causes}

    assert changes == {"tax.net": "changed", "tax.plain": "added", "tax.with_rate": "removed", "tax.RATE": "removed"}


def test_helper_of_several_assets_is_one_cause(shop) -> None:
    shop.edit('return [{"a": 1}]', 'return [{"a": net(1)}]')
    shop.materialize()
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")

    [cause] = why(shop).causes

    assert {cause.asset, *cause.others} == {"orders", "other"}


def test_changed_config_field_has_old_and_new(shop) -> None:
    shop.edit("lowest = 1.0", "lowest = 2.0", "assetflow.toml")

    [cause] = why(shop).causes

    assert (cause.code, cause.data["field"], cause.data["from"], cause.data["to"]) == (
        "config_changed", "lowest", "1.0", "2.0",
    )  # fmt: skip
    assert cause.path == ("orders", "revenue")


def test_changed_rows_and_columns_of_an_input_are_shown(shop) -> None:
    shop.file("raw.csv", "id,price\n1,12.0\n2,48.0\n")
    shop.materialize("orders")

    found = why(shop)
    [cause] = found.causes

    assert (cause.code, cause.data["from"], cause.data["to"]) == ("input_changed", 1, 2)
    evidence = data(cause)
    assert (evidence.columns, dict(evidence.rows), evidence.total) == (("price",), {"changed": 1}, 2)
    assert evidence.sample == ("id=2: price 20.0 → 40.0",)


def test_rows_that_were_only_added_name_no_columns(shop) -> None:
    shop.file("raw.csv", "id,price\n1,12.0\n2,24.0\n3,1.2\n")
    shop.materialize("orders")

    evidence = data(why(shop).causes[0])

    assert (evidence.columns, dict(evidence.rows)) == ((), {"added": 1})


def test_changed_source_names_its_file(shop) -> None:
    shop.file("raw.csv", "id,price\n1,13.0\n")

    [cause] = why(shop).causes

    assert (cause.code, cause.path, data(cause).file) == ("input_changed", ("orders", "revenue"), "raw.csv")


def test_new_and_removed_inputs(shop) -> None:
    shop.edit("def revenue(orders: Rows, other: Rows)", "def revenue(orders: Rows, raw: Rows)")
    shop.edit('+ other[0]["a"]', "+ len(raw)")

    found = {one.code: one.data.get("input") for one in why(shop).causes if one.code.startswith("input")}

    assert found == {"input_added": "raw", "input_removed": "other"}


def test_what_was_never_made_is_one_cause_for_all(workspace) -> None:
    workspace.file("tax.py", TAX)
    workspace.file("raw.csv", "id,price\n1,12.0\n")
    workspace.assets(SHOP)

    [cause] = why(workspace).causes

    assert (cause.code, cause.asset, set(cause.others)) == ("never_materialized", "revenue", {"orders", "other"})


def test_source_that_is_gone_is_the_root_of_what_is_blocked(shop) -> None:
    (shop.root / "raw.csv").unlink()

    found = why(shop)
    [cause] = found.causes

    assert (found.action, cause.code, cause.path) == ("blocked", "source_unavailable", ("orders", "revenue"))


def test_pinned_asset_says_so_and_has_no_cause(shop) -> None:
    shop.project().pin("revenue")
    shop.edit("+ other[0]", "- other[0]")

    found = why(shop)

    assert (found.action, found.causes) == ("pinned", ())
    assert any("pinned" in note for note in found.notes)


def test_code_that_was_taken_back_is_linked(shop) -> None:
    shop.edit("+ other[0]", "- other[0]")
    shop.materialize()
    shop.edit("- other[0]", "+ other[0]")

    found = why(shop)

    assert (found.action, found.link) == ("link", 1)
    assert next(line for line in code(found.causes[0]).lines if line[0] == "+").endswith('+ other[0]["a"]}]')


def test_failure_is_a_note_and_not_a_cause(shop) -> None:
    shop.edit('    return [{"sum"', "    raise OSError('no')\n    return [{\"sum\"")
    shop.materialize()

    found = why(shop)

    assert [one.code for one in found.causes] == ["code_changed"]
    assert found.notes[0].startswith("failed in run #2")


def test_against_an_earlier_version(shop) -> None:
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")
    shop.edit("lowest = 1.0", "lowest = 2.0", "assetflow.toml")
    shop.materialize()

    for other in ("1", "orders@1", "HEAD~1", "run:1"):
        found = why(shop, "orders", against=other)

        assert {one.code for one in found.causes} == {"helper_changed", "config_changed"}
        assert code(found.causes[0]).lines == ("- RATE = 0.2", "+ RATE = 0.25")
    assert why(shop, "orders@1").against == "orders@1"
    [cause] = why(shop, "revenue", against="1").causes
    assert (cause.code, data(cause).columns) == ("input_changed", ("price",))


def test_against_an_environment(shop) -> None:
    shop.materialize(env="prod")
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")
    shop.materialize()

    found = why(shop, "orders", against="prod")

    assert (found.against, [one.code for one in found.causes]) == ("orders@1 (prod)", ["helper_changed"])


def test_against_the_same_is_made_of_the_same(shop) -> None:
    found = why(shop, "revenue", against="1")

    assert found.causes == ()
    assert set(found.not_causes) == {"orders (the same content)", "other (the same content)", "code (the same)"}


@pytest.mark.parametrize(("key", "against"), [("revenue", "7"), ("orders", "nowhere")])
def test_against_what_is_not_there(shop, key: str, against: str) -> None:
    with pytest.raises((NoSuchVersion, UsageError)):
        why(shop, key, against=against)


def test_unknown_asset_has_near_names(shop) -> None:
    with pytest.raises(NoSuchAsset, match="revenue"):
        why(shop, "revenu")


def test_no_user_code_is_imported_when_nothing_changed_since_it_was_loaded(shop) -> None:
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")
    project = shop.project()
    for name in ("assets", "tax"):
        sys.modules.pop(name, None)

    assert code(project.why("revenue").causes[0]).lines
    assert {"assets", "tax"}.isdisjoint(sys.modules)


def test_json_has_the_same_facts(shop) -> None:
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")

    found = why(shop).to_json()

    [cause] = found["causes"]
    assert (cause["code"], cause["path"]) == ("helper_changed", ["orders", "revenue"])
    assert cause["evidence"]["diff"] == ["- RATE = 0.2", "+ RATE = 0.25"]
    assert (cause["evidence"]["file"], cause["evidence"]["line"]) == ("tax.py", 2)


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(workspace, *arguments: str) -> None:
    given = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *given, *arguments], cwd=workspace.root, check=True, capture_output=True)


@needs_git
def test_commit_and_author_of_the_changed_lines(shop) -> None:
    git(shop, "init", "-q")
    git(shop, "add", "tax.py", "assets.py")
    git(shop, "commit", "-q", "-m", "Begin")
    shop.edit("return round(gross / (1 + RATE), 2)", "return round(gross / (1 + RATE), 3)", "tax.py")

    fresh = code(why(shop).causes[0]).git
    git(shop, "commit", "-q", "-a", "-m", "Round later")
    committed = code(why(shop).causes[0]).git

    assert fresh is not None
    assert fresh.commit == ""
    assert committed is not None
    assert (committed.author, committed.summary, len(committed.commit)) == ("Ann", "Round later", 40)


def test_without_git_there_is_none(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.root / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    shop.edit("RATE = 0.2", "RATE = 0.25", "tax.py")

    assert code(why(shop).causes[0]).git is None


# -- why not


def why_not(workspace, key: str = "revenue"):
    return workspace.project().why_not(key)


def test_not_run_because_there_was_no_run(workspace) -> None:
    workspace.file("tax.py", TAX)
    workspace.file("raw.csv", "id,price\n1,12.0\n")
    workspace.assets(SHOP)

    assert why_not(workspace).code == "no_run"


def test_not_run_or_run_by_what_the_last_run_says(shop) -> None:
    assert why_not(shop).code == "ran"
    assert why_not(shop, "raw").code == "external"

    shop.edit('return [{"a": 1}]', 'return [{"a": 2}]')
    shop.materialize("other")

    assert why_not(shop, "orders").code == "excluded"
    shop.edit('return [{"a": 2}]', "return [{'a': 2}][:9]")
    shop.materialize()
    assert why_not(shop, "orders").code == "current"
    assert why_not(shop, "other").code == "ran"


def test_not_run_because_what_it_reads_stayed_the_same(shop) -> None:
    shop.edit('return [{"a": 1}]', 'return [{"a": 1}][:9]')
    shop.materialize()

    assert why_not(shop).code == "cut_off"


def test_not_run_because_it_is_pinned(shop) -> None:
    shop.project().pin("revenue", reason="audit")
    shop.edit('return [{"a": 1}]', 'return [{"a": 2}]')
    shop.materialize()

    found = why_not(shop)

    assert (found.code, found.next) == ("pinned", "assetflow unpin revenue")
    assert "audit" in found.text


def test_not_run_because_something_above_failed_or_a_check_did(shop) -> None:
    shop.edit('return [{"a": 1}]', "raise OSError('no')")
    shop.materialize()
    assert (why_not(shop).code, why_not(shop, "other").code) == ("blocked_by_failure", "failed")

    shop.edit("raise OSError('no')", 'return [{"a": 2}]')
    shop.file("raw.csv", "id,price\n1,12.0\n1,13.0\n")
    shop.materialize()
    assert (why_not(shop, "orders").code, why_not(shop).code) == ("blocked_by_check", "blocked_by_failure")


def test_output_that_is_made_along_with_a_lost_one_names_that(workspace) -> None:
    workspace.assets(
        """
        @assets("one", "two")
        def both() -> dict[str, pa.Table]:
            return {"one": pa.table({"a": [1]}), "two": pa.table({"a": [2]})}
        """
    )
    workspace.materialize()
    for path in workspace.stored():
        if "two" in path.parts:
            path.unlink()

    [cause] = why(workspace, "one").causes

    assert (cause.code, cause.path) == ("data_missing", ("two", "one"))


DAYS = """
class Menu(Config):
    n: int = 1

@asset(partitions=Daily("2026-11-20", end="2026-11-22"))
def d(partition: Partition, config: Menu) -> Rows:
    return [{"k": partition.key, "n": config.n}]

@asset
def s(d: Rows) -> int:
    return sum(row["n"] for row in d)
"""


@pytest.fixture
def days(workspace):
    workspace.assets(DAYS, settings="[config.d]\nn = 2\n")
    assert workspace.materialize(env="prod").ok
    assert workspace.materialize().ok
    workspace.edit("n = 2", "n = 3", "assetflow.toml")
    return workspace


def test_a_config_edit_is_one_cause_however_many_partitions(days) -> None:
    [cause] = why(days, "s").causes

    assert (cause.code, cause.asset, cause.data["to"]) == ("config_changed", "d[2026-11-20]", "3")
    assert cause.others == ("d[2026-11-21]", "d[2026-11-22]")


def test_partitions_of_an_input_that_changed_alike_are_one_cause(days, capsys) -> None:
    assert days.materialize("d").ok

    [cause] = why(days, "s").causes
    assert (cause.code, cause.data["input"]) == ("input_changed", "d[2026-11-20]")
    assert (cause.also, cause.others) == (("d[2026-11-21]", "d[2026-11-22]"), ())
    assert main(["-C", str(days.root), "why", "s"]) == 0
    assert "also d[2026-11-21], d[2026-11-22]" in capsys.readouterr().out

    assert days.materialize().ok
    [cause] = why(days, "s", against="prod").causes
    assert len(cause.also) == 2


def test_partitions_that_changed_otherwise_are_other_causes(days) -> None:
    assert days.materialize("d", partitions="2026-11-21").ok
    days.edit("n = 3", "n = 4", "assetflow.toml")
    assert days.materialize("d").ok

    assert [(cause.text, cause.also) for cause in why(days, "s").causes] == [
        ("d[2026-11-20] v1 → v2", ("d[2026-11-22]",)), ("d[2026-11-21] v1 → v3", ()),
    ]  # fmt: skip


def test_further_partitions_of_an_input_are_one_cause(days) -> None:
    days.edit("n = 3", "n = 2", "assetflow.toml")
    days.edit('end="2026-11-22"', 'end="2026-11-24"')
    assert days.materialize("d").ok

    [cause] = why(days, "s").causes
    assert (cause.code, cause.text, cause.also) == ("input_added", "reads d[2026-11-23] now", ("d[2026-11-24]",))
