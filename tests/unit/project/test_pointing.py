"""Time travel, rollback and pins through the Python API."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from assetflow import Project
from assetflow.care.checkup import examine
from assetflow.cli.documents import history_document
from assetflow.errors import (
    AssetPinned,
    DamagedVersion,
    NoSuchVersion,
    RunConflict,
    Superseded,
    UsageError,
    VersionInSelection,
)
from assetflow.run.locks import run_lock
from tests.unit.project.test_care import data_file, folder_of

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv")

@asset
def orders(raw: Rows) -> Rows:
    ran("orders")
    return [{"n": row["n"]} for row in raw]

@asset
def report(orders: Rows) -> dict:
    ran("report")
    return {"total": sum(row["n"] for row in orders)}

@asset
def last(report: dict) -> int:
    ran("last")
    return report["total"] + 1

@asset
def apart() -> int:
    return 7
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    """Three versions of orders, report and last: the numbers 1, 2 and 3, by the runs 1, 2 and 3."""
    workspace.assets(SHOP)
    for number in (1, 2, 3):
        workspace.file("raw.csv", f"n\n{number}\n")
        assert workspace.materialize(executor="inline").ok
    workspace.ran()
    return workspace


def numbers(project: Project) -> dict[str, int]:
    return {row.spec.key: row.head.version.number for row in project.status() if row.head and not row.spec.is_source}


def lose(workspace: Workspace, key: str, number: int) -> None:
    with workspace.project()._catalog() as catalog:
        version = catalog.version(workspace.project().graph.resolve(key), number)
    assert version is not None
    folder = workspace.root / ".assetflow" / "data" / version.location
    for file in sorted(folder.iterdir()):
        file.chmod(0o644)
        file.unlink()
    folder.rmdir()


def flip(workspace: Workspace, key: str, number: int) -> None:
    """Change one byte of a version."""
    file = data_file(folder_of(workspace.project(), key, number))
    file.chmod(0o644)
    text = bytearray(file.read_bytes())
    text[len(text) // 2] ^= 1
    file.write_bytes(bytes(text))


def trace(workspace: Workspace, key: str, move: int = 0) -> int:
    return workspace.project().history(key)[move].head.trace.trace_id


def set_state(workspace: Workspace, key: str, number: int, state: str) -> None:
    """What gc and doctor write."""
    connection = sqlite3.connect(workspace.root / ".assetflow" / "catalog.db")
    connection.execute(
        "UPDATE version SET state = ?, state_at = 1763632800 WHERE number = ? "
        "AND asset_id = (SELECT asset_id FROM asset WHERE key = ?)",
        (state, number, key),
    )
    connection.commit()
    connection.close()


# ------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("name", ["report@2", "report@HEAD~1", "report@run:2"])
def test_an_earlier_version_has_many_names(shop: Workspace, name: str) -> None:
    assert shop.project().read(name) == {"total": 2}


def test_what_was_current_at_a_time_or_after_a_run_is_read(shop: Workspace) -> None:
    project = shop.project()
    second = project.history("report")[1].head.verified_at

    assert project.read("report", as_of=datetime.fromtimestamp(second + 0.001, UTC)) == {"total": 2}
    assert project.read("report", run=1) == {"total": 1}
    assert project.read("report", version="HEAD~2") == {"total": 1}
    assert project.preview("orders", run=2).rows == ((2,),)
    assert project.read("report@dev") == {"total": 3}


def test_one_name_of_a_version_is_enough(shop: Workspace) -> None:
    with pytest.raises(UsageError, match="each name a version"):
        shop.project().read("report", version=1, run=2)
    with pytest.raises(NoSuchVersion, match="another one is asked for"):
        shop.project().read("report@1", version=1)


def test_a_query_sees_every_asset_as_it_was(shop: Workspace) -> None:
    project = shop.project()
    text = 'select o.n, before.n as before from orders o, "orders@1" before'

    assert project.sql(text, run=2).table.to_pylist() == [{"n": 2, "before": 1}]
    assert project.sql(text).table.to_pylist() == [{"n": 3, "before": 1}]
    assert project.sql('select n from "orders@HEAD~1"').table.to_pylist() == [{"n": 2}]
    with pytest.raises(NoSuchVersion, match="had no version"):
        project.sql("select * from orders", as_of="2001-01-01")
    with pytest.raises(NoSuchVersion, match="is a source"):
        project.sql("select * from raw", run=1)


def test_a_version_whose_bytes_gc_removed_is_explained(shop: Workspace) -> None:
    set_state(shop, "report", 2, "evicted")
    with pytest.raises(NoSuchVersion, match="gc removed the bytes of report v2 on 2025-11-20") as error:
        shop.project().read("report@2")

    assert error.value.facts[0] == "it was made in run #2 from orders v2"
    with pytest.raises(NoSuchVersion, match="gc removed"):
        shop.project().rollback("report", to=2)


def test_a_removed_version_was_made_by_the_run_that_computed_it(shop: Workspace) -> None:
    for number in (2, 3):  # linked again in run 4, and left again in run 5
        shop.file("raw.csv", f"n\n{number}\n")
        shop.materialize(executor="inline")
    assert shop.ran() == []
    set_state(shop, "report", 2, "evicted")
    with pytest.raises(NoSuchVersion, match="gc removed") as error:
        shop.project().read("report@2")
    assert error.value.facts[0] == "it was made in run #2 from orders v2"


# ------------------------------------------------------------------------------------------------------ rollback


def test_a_rollback_moves_pointers_and_no_bytes(shop: Workspace) -> None:
    before = {path: path.stat().st_mtime_ns for path in shop.stored()}
    found = shop.project().rollback("orders", downstream=True, reason="wrong prices")

    assert [(one.asset, one.before, one.after, one.is_selected) for one in found.moves] == [
        ("orders", 3, 2, True), ("report", 3, 2, False), ("last", 3, 2, False),
    ]  # fmt: skip
    assert found.done
    assert shop.project().read("last") == 3
    assert {path: path.stat().st_mtime_ns for path in shop.stored()} == before
    reasons = [entry.reason for entry in shop.project().history("orders")]
    assert reasons[0].startswith("rollback to v2 by ")
    assert reasons[0].endswith(": wrong prices")


def test_materialize_does_not_undo_a_rollback(shop: Workspace) -> None:
    shop.project().rollback("orders", downstream=True)
    shop.file("raw.csv", "n\n4\n")

    plan = shop.project().plan()
    assert [step.asset for step in plan.pinned] == ["orders", "report", "last"]
    assert plan["orders"].reasons[0].text == "pinned by rollback to v2"
    shop.materialize(executor="inline")
    assert shop.ran() == []
    assert numbers(shop.project()) == {"orders": 2, "report": 2, "last": 2, "apart": 1}
    assert {row.spec.key for row in shop.project().status("is:pinned")} == {"orders", "report", "last"}


def test_what_is_made_of_a_rolled_back_asset_uses_it(shop: Workspace) -> None:
    shop.project().rollback("orders", to=1)

    assert {key: shop.states()[key] for key in ("orders", "report")} == {"orders": "pinned", "report": "reusable"}
    assert shop.outcomes(executor="inline") == {"report": "linked", "last": "linked"}
    assert shop.ran() == []
    assert shop.project().read("last") == 2


def test_after_unpin_the_later_result_is_linked_again_without_computing(shop: Workspace) -> None:
    shop.project().rollback("orders", downstream=True)
    assert shop.project().unpin("is:pinned") == ("orders", "report", "last")

    plan = shop.project().plan()
    assert [step.asset for step in plan.link] == ["orders", "report", "last"]
    assert [reason.code for reason in plan["orders"].reasons] == ["input_changed"]
    assert set(shop.outcomes(executor="inline").values()) == {"linked"}
    assert shop.ran() == []
    assert numbers(shop.project()) == {"orders": 3, "report": 3, "last": 3, "apart": 1}


def test_after_unpin_changed_code_is_the_reason(shop: Workspace) -> None:
    shop.project().rollback("orders")
    shop.edit('{"n": row["n"]}', '{"n": row["n"] * 10}')
    shop.project().unpin("orders")

    assert {"code_changed", "input_changed"} == {reason.code for reason in shop.project().plan()["orders"].reasons}
    assert shop.outcomes("orders", executor="inline") == {"orders": "materialized"}


def test_a_second_rollback_takes_the_first_one_back(shop: Workspace) -> None:
    shop.project().rollback("orders")
    shop.project().rollback("orders")

    assert numbers(shop.project())["orders"] == 3


def test_downstream_is_what_it_was_at_that_moment(shop: Workspace) -> None:
    shop.project().rollback("orders", to=1, downstream=True)
    assert numbers(shop.project()) == {"orders": 1, "report": 1, "last": 1, "apart": 1}

    shop.project().rollback("orders+", to="run:2")
    assert numbers(shop.project()) == {"orders": 2, "report": 2, "last": 2, "apart": 1}


SAME = """
@asset
def first() -> int:
    return 1

@asset
def same(first: int) -> int:
    ran("same")
    return 7
"""


def test_what_is_downstream_is_pinned_though_its_content_did_not_change(workspace: Workspace) -> None:
    workspace.assets(SAME)
    workspace.materialize()
    workspace.edit("return 1", "return 2")
    workspace.edit("return 7", "return 7 if first == 2 else 99")
    assert workspace.outcomes()["same"] == "unchanged"
    first, before = workspace.ran(), trace(workspace, "same", move=1)

    found = workspace.project().rollback("first", downstream=True)
    assert [(one.asset, one.before, one.after) for one in found.moves] == [("first", 2, 1), ("same", 1, 1)]
    assert (first, trace(workspace, "same")) == (["same", "same"], before)
    assert workspace.outcomes() == {}
    assert workspace.ran() == []
    assert workspace.states() == {"first": "pinned", "same": "pinned"}
    assert workspace.project().read("same") == 7


def test_what_is_downstream_and_was_not_made_again_is_pinned_too(workspace: Workspace) -> None:
    workspace.assets(SAME)
    workspace.materialize()
    workspace.edit("return 1", "return 2")
    workspace.materialize("first", with_upstream=False)
    workspace.edit("return 7", "return 99")
    workspace.project().rollback("first", downstream=True)

    assert workspace.states() == {"first": "pinned", "same": "pinned"}
    assert len(workspace.project().history("same")) == 1


def test_a_pattern_leaves_sources_alone(shop: Workspace) -> None:
    found = shop.project().rollback("*", to="run:2")
    assert [one.asset for one in found.moves] == ["orders", "report", "last"]
    assert [why for key, why in found.left if key == "raw"] == [
        "is a source, and assetflow keeps no copies of its data"
    ]

    assert "raw" in dict(shop.project().rollback("+orders", to="run:1").left)
    assert "raw" in dict(shop.project().pin("*").left)
    assert set(shop.project().select("is:pinned")) == {"orders", "report", "last", "apart"}


def test_a_pattern_leaves_what_did_not_exist_at_that_time_alone(shop: Workspace) -> None:
    shop.assets(SHOP + "\n\n@asset\ndef late(orders: Rows) -> int:\n    return len(orders)\n")
    shop.materialize(executor="inline")

    found = shop.project().rollback("*", to="run:2")
    assert ("late", "had no version then") in found.left
    with pytest.raises(NoSuchVersion, match="late had no version"):
        shop.project().rollback("late", to="run:2")


def test_the_history_says_who_rolled_back(shop: Workspace) -> None:
    shop.project().rollback("orders", reason="wrong: all")
    shop.project().pin("orders@1")
    pinned, rolled, made = shop.project().history("orders")[:3]

    assert (pinned.kind, rolled.kind, made.kind) == ("pin", "rollback", "run")
    assert pinned.by == rolled.by == made.by
    assert history_document(rolled)["kind"] == "rollback"
    assert history_document(rolled)["by"] == made.by


def test_what_did_not_exist_then_stays(shop: Workspace) -> None:
    shop.assets(SHOP + "\n\n@asset\ndef late(orders: Rows) -> int:\n    return len(orders)\n")
    shop.materialize(executor="inline")
    found = shop.project().rollback("orders", downstream=True)

    assert ("late", "had no version then") in found.left
    assert "late" not in [one.asset for one in found.moves]


def test_a_dry_run_and_a_no_change_nothing(shop: Workspace) -> None:
    asked: list[int] = []
    project = shop.project()
    assert not project.rollback("orders", dry_run=True).done
    assert not project.rollback("orders", confirm=lambda found: asked.append(len(found.moves)) is not None).done

    assert asked == [1]
    assert numbers(project)["orders"] == 3
    assert len(project.history("orders")) == 3


def test_what_moved_while_somebody_was_asked_is_not_rolled_back(shop: Workspace) -> None:
    def meanwhile(_: object) -> bool:
        shop.file("raw.csv", "n\n4\n")
        return shop.materialize(executor="inline").ok

    with pytest.raises(Superseded):
        shop.project().rollback("orders", confirm=meanwhile)
    assert numbers(shop.project())["orders"] == 4


@pytest.mark.parametrize("verb", ["rollback", "pin"])
def test_while_a_run_is_going_on_nothing_moves(shop: Workspace, verb: str) -> None:
    project = shop.project()
    with run_lock(project.settings, "dev") as lock:
        assert lock.acquire()
        with pytest.raises(RunConflict, match="env dev") as error:
            getattr(project, verb)("orders")
        assert f"`assetflow {verb} orders --wait 5m`" in str(error.value.fix)
        with pytest.raises(RunConflict) as error:
            project.rollback("orders report", to=2, downstream=True, reason="wrong prices")
    said = "`assetflow rollback orders report --to 2 --downstream --reason 'wrong prices' --wait 5m`"
    assert said in str(error.value.fix)
    assert numbers(project)["orders"] == 3


def test_targets_without_bytes_are_refused_all_or_nothing(shop: Workspace) -> None:
    lose(shop, "report", 2)
    with pytest.raises(DamagedVersion, match="report v2"):
        shop.project().rollback("orders report", to=2)

    assert numbers(shop.project())["orders"] == 3
    assert shop.project().select("is:pinned") == ()


@pytest.mark.parametrize("verb", ["rollback", "pin"])
def test_damaged_targets_are_refused_before_anything_moves(shop: Workspace, verb: str) -> None:
    flip(shop, "orders", 2)
    project = shop.project()
    with pytest.raises(DamagedVersion, match="orders v2 is damaged") as error:
        project.pin("report@2 orders@2") if verb == "pin" else project.rollback("orders report", to=2)

    assert "assetflow doctor --deep --fix" in str(error.value.fix)
    assert numbers(project)["report"] == numbers(project)["orders"] == 3
    assert project.select("is:pinned") == ()


def test_what_was_put_aside_is_said_to_be_in_quarantine_with_what_can_be_read(shop: Workspace) -> None:
    flip(shop, "orders", 2)
    lose(shop, "orders", 1)
    shop.project().mend(shop.project().doctor(deep=True))
    for verb in (lambda: shop.project().rollback("orders", to=2), lambda: shop.project().pin("orders@2")):
        with pytest.raises(DamagedVersion, match="orders v2 are damaged, and in quarantine") as error:
            verb()
        assert error.value.facts == ("the newest that can be read: orders@3",)
        assert error.value.fix == "assetflow history orders"
    with pytest.raises(DamagedVersion, match="orders v1 are gone"):
        shop.project().rollback("orders", to=1)


def test_a_damaged_version_downstream_is_refused_too(shop: Workspace) -> None:
    flip(shop, "report", 2)
    with pytest.raises(DamagedVersion, match="report v2 is damaged"):
        shop.project().rollback("orders", downstream=True)
    assert numbers(shop.project())["orders"] == 3


@pytest.mark.parametrize("state", ["damaged", "lost", "condemned"])
def test_targets_in_a_bad_state_are_refused(shop: Workspace, state: str) -> None:
    set_state(shop, "orders", 2, state)
    with pytest.raises((DamagedVersion, NoSuchVersion), match="orders v2"):
        shop.project().rollback("orders", to=2)


def test_what_cannot_be_rolled_back_is_refused_with_the_reason(shop: Workspace) -> None:
    project = shop.project()
    for selection in ("raw", "orders or raw", "is:source"):
        with pytest.raises(UsageError, match="raw is a source"):
            project.rollback(selection)
    with pytest.raises(UsageError, match="raw is a source"):
        project.pin("raw")
    with pytest.raises(NoSuchVersion, match="apart has not had 2 versions"):
        project.rollback("apart")
    with pytest.raises(NoSuchVersion, match="no version 9"):
        project.rollback("orders", to=9)
    with pytest.raises(UsageError, match="say which"):
        project.rollback("")
    with pytest.raises(UsageError, match="not a version, a run or a time"):
        project.rollback("orders", to="prod")


@pytest.mark.parametrize(
    ("selection", "fix"),
    [
        ("orders@2", "assetflow rollback orders --to 2"),
        ("orders@run:1 or report@run:1", "assetflow rollback orders or report --to run:1"),
        (["orders@1", "report@2"], "roll each back by itself: assetflow rollback orders --to 1"),
        ("@orders", "for an asset, what is below it, and all that those need, write `+(orders+)`"),
    ],
)
def test_a_version_in_a_rollback_goes_behind_to(shop: Workspace, selection: str | list[str], fix: str) -> None:
    with pytest.raises(VersionInSelection) as error:
        shop.project().rollback(selection)
    assert error.value.fix == fix
    assert numbers(shop.project())["orders"] == 3


def test_what_is_made_of_a_source_is_rolled_back_as_the_message_says(shop: Workspace) -> None:
    for verb, act in (("rollback", shop.project().rollback), ("pin", shop.project().pin)):
        with pytest.raises(UsageError, match="raw is a source") as error:
            act("raw")
        assert error.value.fix == f'for what is made of it: assetflow {verb} "raw+"'
    assert [one.asset for one in shop.project().rollback("raw+", dry_run=True).moves] == ["orders", "report", "last"]
    assert len(shop.project().pin("raw+").moves) == 3


def test_a_run_of_another_environment_is_no_target(shop: Workspace) -> None:
    shop.materialize("apart", env="prod", force=True)
    with pytest.raises(UsageError, match="was in env prod"):
        shop.project().rollback("apart", to="run:4")


def test_versions_of_different_moments_have_no_downstream_in_common(shop: Workspace) -> None:
    shop.edit("return 7", "return 8")
    shop.materialize("apart")
    with pytest.raises(UsageError, match="not current at the same time"):
        shop.project().rollback(["orders", "apart"], to=2, downstream=True)


# --------------------------------------------------------------------------------------------------- damaged bytes


@pytest.mark.parametrize("read", ["read", "preview", "sql", "diff"])
def test_an_earlier_version_that_is_damaged_is_not_made_again(shop: Workspace, read: str) -> None:
    flip(shop, "orders", 2)
    project = shop.project()
    verbs = {
        "read": lambda: project.read("orders@2"),
        "preview": lambda: project.preview("orders@2"),
        "sql": lambda: project.sql('select * from "orders@2"'),
        "diff": lambda: project.diff("orders@2", "orders@3"),
    }
    with pytest.raises(DamagedVersion) as error:
        verbs[read]()

    assert "no run makes version 2 again" in str(error.value.fix)
    assert "assetflow history orders" in str(error.value.fix)
    assert "--force" not in str(error.value.fix)


def test_a_current_version_that_is_damaged_is_made_again_and_let_go_before(shop: Workspace) -> None:
    flip(shop, "orders", 3)
    project = shop.project()
    with pytest.raises(DamagedVersion) as error:
        project.read("orders")
    assert error.value.fix == "make it again: assetflow materialize orders --force"

    project.pin("orders")
    with pytest.raises(DamagedVersion) as error:
        project.read("orders")
    assert error.value.fix == "it is pinned: assetflow unpin orders, and then assetflow materialize orders --force"
    shop.edit('sum(row["n"] for row in orders)', "len(orders)")
    failed = shop.materialize(executor="inline")["report"].error
    assert failed is not None
    assert (failed.code, failed.fix) == (DamagedVersion.code, error.value.fix)


def test_doctor_does_not_say_that_a_pinned_asset_is_made_again(shop: Workspace) -> None:
    project = shop.project()
    project.pin("orders")
    lose(shop, "orders", 3)
    lose(shop, "apart", 1)
    found = examine(project.settings)
    assert (found.to_materialize, found.to_unpin) == (("apart",), ("orders",))

    for number, key in ((3, "orders"), (1, "apart")):
        set_state(shop, key, number, "lost")
    fixes = {one.fix for one in examine(project.settings).findings}
    assert {"assetflow unpin orders", "assetflow materialize apart"} <= fixes


# ----------------------------------------------------------------------------------------------------------- pin


def test_a_pinned_asset_stays_and_the_rest_goes_on(shop: Workspace) -> None:
    shop.project().pin("report", reason="audit")
    shop.file("raw.csv", "n\n4\n")

    assert shop.project().plan()["report"].reasons[0].text.endswith(": audit")
    assert shop.outcomes(executor="inline") == {"orders": "materialized"}
    assert numbers(shop.project()) == {"orders": 4, "report": 3, "last": 3, "apart": 1}
    shop.edit('report["total"] + 1', 'report["total"] + 2')
    assert shop.outcomes(executor="inline") == {"last": "materialized"}
    assert shop.project().read("last") == 5


def test_pinning_a_version_makes_it_current(shop: Workspace) -> None:
    found = shop.project().pin("orders@1 apart")

    assert {(one.asset, one.before, one.after) for one in found.moves} == {("apart", 1, 1), ("orders", 3, 1)}
    assert shop.states()["orders"] == shop.states()["apart"] == "pinned"
    assert shop.project().history("orders")[0].reason.startswith("pin to v1 by ")
    assert len(shop.project().history("apart")) == 1


@pytest.mark.parametrize("words", ["orders@1 orders@2", "orders@1 orders", ["orders@1", "orders@1"]])
def test_an_asset_is_pinned_once(shop: Workspace, words: str | list[str]) -> None:
    with pytest.raises(UsageError, match="names orders twice"):
        shop.project().pin(words)
    assert numbers(shop.project())["orders"] == 3

    shop.project().pin("orders+ orders@1")
    assert numbers(shop.project())["orders"] == 1


def test_a_forced_run_of_a_pinned_asset_is_refused(shop: Workspace) -> None:
    shop.project().pin("orders")
    for verb in (shop.project().plan, shop.project().materialize):
        with pytest.raises(AssetPinned, match="orders is pinned") as error:
            verb("orders+", force=True)
        assert error.value.fix == "assetflow unpin orders"
    assert shop.ran() == []


def test_a_pinned_asset_needs_nothing_above_it(shop: Workspace) -> None:
    shop.project().pin("report")
    shop.file("raw.csv", "n\n4\n")

    assert set(shop.project().plan("last").steps) == {"report", "last"}


def test_a_pin_without_bytes_blocks_what_reads_it_and_says_so(shop: Workspace) -> None:
    shop.project().pin("report")
    lose(shop, "report", 3)
    shop.edit('report["total"] + 1', 'report["total"] + 2')
    plan = shop.project().plan()

    assert [step.asset for step in plan.blocked] == ["report", "last"]
    assert "the bytes of v3 are gone, and it is pinned by" in plan["report"].reasons[0].text
    result = shop.materialize(executor="inline")
    assert {one.asset: one.state for one in result} == {"report": "failed", "last": "blocked"}
    assert result["report"].error is not None
    assert result["report"].error.fix == "assetflow unpin report"
    assert shop.ran() == []
    assert {row.spec.key for row in shop.project().status("is:pinned")} == {"report"}

    shop.project().unpin("report")
    assert shop.outcomes(executor="inline") == {"report": "materialized", "last": "materialized"}


def test_one_output_of_a_function_can_be_pinned(workspace: Workspace) -> None:
    workspace.assets("""
        raw = source("raw", path="raw.csv")

        @assets(Out("left"), Out("right"))
        def both(raw: Rows):
            ran("both")
            return len(raw), 10 * len(raw)
    """)
    workspace.file("raw.csv", "n\n1\n")
    workspace.materialize()
    workspace.project().pin("left")
    workspace.file("raw.csv", "n\n1\n2\n")

    assert workspace.outcomes() == {"right": "materialized"}
    assert (workspace.project().read("left"), workspace.project().read("right")) == (1, 20)
    assert workspace.states() == {"raw": "source", "left": "pinned", "right": "current"}
    staged = workspace.root / ".assetflow" / "data" / "tmp"
    assert not staged.exists() or list(staged.iterdir()) == []
    workspace.project().unpin("left")
    assert workspace.outcomes()["left"] == "materialized"


def test_unpin_says_what_was_pinned(shop: Workspace) -> None:
    project = shop.project()
    project.pin("orders")

    assert project.unpin("orders+") == ("orders",)
    assert project.unpin("orders+") == ()
    assert project.select("is:pinned") == ()


def test_pins_are_of_one_environment(shop: Workspace) -> None:
    shop.materialize("orders", env="prod")
    shop.project("prod").pin("orders")

    assert shop.states()["orders"] == "current"
    assert shop.states("prod")["orders"] == "pinned"
