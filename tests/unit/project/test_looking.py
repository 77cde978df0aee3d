"""What a project says of itself: status on both axes, history, runs, logs, and all about one asset."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assetflow import Project
from assetflow.catalog.catalog import Catalog
from assetflow.cli.render_status import why_text
from assetflow.errors import NoSuchAsset, ProjectLoadError, ProjectNotFound, SelectionSyntaxError, UsageError
from assetflow.load.settings import read_settings
from assetflow.model.keys import AssetKey
from assetflow.model.records import Attempt
from assetflow.run.locks import run_lock

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv", freshness=Freshness(within="2d"))

@asset(group="staging", tags={"tier": "gold"}, checks=[row_count(1)])
def orders(raw: pa.Table) -> pa.Table:
    \"\"\"One row per order.\"\"\"
    print("reading", raw.num_rows)
    return raw

@asset(freshness=Freshness(within="24h"), owners=["ann@shop.example"])
def totals(orders: pa.Table) -> int:
    return sum(orders["net"].to_pylist())

@asset(freshness=Freshness(within="10d"))
def report(totals: int) -> dict:
    return {"total": totals}

@asset
def apart() -> int:
    return 1
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP, settings='[selections]\nnightly = "tag:tier=gold+"\n')
    workspace.file("raw.csv", "id,net\n1,10\n2,20\n")
    workspace.materialize().raise_for_status()
    return workspace


# -- loading


def test_a_project_is_found_from_a_folder_inside_it_and_loaded_in_a_child_process(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.assets(SHOP)
    workspace.file("assets.py", "import os\nfrom assetflow import asset\n\n@asset\ndef one() -> int:\n    return 1\n")
    inside = workspace.root / "notebooks" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)

    with Project.load() as project:
        assert (project.root, project.name, project.env) == (workspace.root, workspace.root.name, "dev")
        assert project.graph.order == ("one",)
        assert repr(project) == f"<Project {workspace.root.name}: 1 assets, env dev>"


def test_a_change_is_seen_by_the_next_load(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")
    before = workspace.project()
    workspace.edit("def one", "def two")

    assert before.graph.order == ("one",)
    assert workspace.project().graph.order == ("two",)


def test_no_project_and_a_broken_project_are_errors(workspace: Workspace) -> None:
    with pytest.raises(ProjectNotFound):
        Project.load(workspace.root)
    workspace.assets("@asset\ndef one(nobody: int) -> int:\n    return 1\n")
    with pytest.raises(ProjectLoadError, match="nobody"):
        Project.load(workspace.root)


# -- status


def test_states_of_a_project_that_was_never_built(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    workspace.file("raw.csv", "id,net\n1,10\n")

    status = workspace.project().status()

    assert {row.spec.key: row.state for row in status} == {
        "raw": "source", "orders": "missing", "totals": "missing", "report": "missing", "apart": "missing",
    }  # fmt: skip
    assert status.counts == {"source": 1, "missing": 4}
    assert (status.last_run, status.running, status.overdue) == (None, None, ())
    assert str(status["totals"].freshness.timeliness) == "unknown"


def test_states_after_each_kind_of_change(shop: Workspace) -> None:
    assert shop.states() == {
        "raw": "source", "orders": "current", "totals": "current", "report": "current", "apart": "current",
    }  # fmt: skip

    shop.edit("    return raw", "    return raw.slice(1)")
    assert shop.states() == {
        "raw": "source", "orders": "stale", "totals": "maybe", "report": "maybe", "apart": "current",
    }  # fmt: skip
    shop.materialize()
    shop.edit("    return raw.slice(1)", "    return raw")
    assert shop.states()["orders"] == "reusable"
    assert shop.project().select("is:reusable") == ("orders", "totals", "report")
    shop.edit("    return raw", "    raise ValueError('no')")
    shop.materialize()
    assert shop.states() == {
        "raw": "source", "orders": "failed", "totals": "blocked", "report": "blocked", "apart": "current",
    }  # fmt: skip
    (shop.root / "raw.csv").unlink()
    assert shop.states() == {
        "raw": "blocked", "orders": "blocked", "totals": "blocked", "report": "blocked", "apart": "current",
    }  # fmt: skip


def test_status_can_be_asked_of_a_selection(shop: Workspace) -> None:
    project = shop.project()

    assert [row.spec.key for row in project.status("orders+")] == ["orders", "totals", "report"]
    assert [row.spec.key for row in project.status(":nightly")] == ["orders", "totals", "report"]
    assert [row.spec.key for row in project.status("owner:ann@shop.example")] == ["totals"]
    assert [row.spec.key for row in project.status(["apart", "orders+1"])] == ["orders", "totals", "apart"]
    with pytest.raises(SelectionSyntaxError):
        project.status("orders and")
    with pytest.raises(KeyError):
        project.status("apart")["orders"]


def test_data_that_is_too_old_is_overdue_because_of_its_source_though_it_is_current(shop: Workspace) -> None:
    age = time.time() - 3 * 86400
    os.utime(shop.root / "raw.csv", (age, age))

    status = shop.project().status()

    totals = status["totals"]
    assert (totals.state, str(totals.freshness.timeliness), totals.freshness.because) == ("current", "overdue", "raw")
    assert totals.freshness.late_s == pytest.approx(2 * 86400, abs=60)
    assert totals.freshness.deadline == pytest.approx(age + 86400, abs=60)
    assert str(status["report"].freshness.timeliness) == "on_time"
    assert str(status["apart"].freshness.timeliness) == "no_policy"
    assert status.overdue == ("totals", "raw")
    assert shop.project().select("is:overdue") == ("raw", "totals")


def test_data_that_is_new_at_its_source_and_not_yet_built_is_as_old_as_when_it_was_read(shop: Workspace) -> None:
    old = time.time() - 3 * 86400
    os.utime(shop.root / "raw.csv", (old, old))
    shop.edit("    return raw", "    return raw.slice(1)")
    shop.materialize()
    shop.file("raw.csv", "id,net\n1,10\n2,20\n3,30\n")

    status = shop.project().status()

    assert str(status["raw"].freshness.timeliness) == "on_time"
    assert (status["totals"].state, str(status["totals"].freshness.timeliness)) == ("maybe", "overdue")


def test_a_run_whose_process_is_gone_is_shown_as_died_and_what_it_did_as_failed(shop: Workspace) -> None:
    shop.edit("    return raw", "    return raw.slice(1)")
    project = shop.project()
    _leave_running(project, "orders")

    assert [run.state for run in project.runs()] == ["died", "ok"]
    run, attempts = project.run_details(2)
    assert (run.state, attempts[0].asset) == ("died", "orders")
    status = project.status()
    assert (status["orders"].state, status.running) == ("failed", None)
    assert status["orders"].attempt is not None
    assert status["orders"].attempt.state == "died"
    assert status.last_run is not None
    assert status.last_run.state == "died"
    assert why_text(status["orders"]) == "the process of run #2 died while it ran"
    [reason] = [one for one in project.plan()["orders"].reasons if one.code == "failed_last"]
    assert reason.text == "died in run #2"

    assert shop.materialize().ok
    assert [run.state for run in shop.project().runs()] == ["ok", "died", "ok"]
    assert shop.states()["orders"] == "current"


def test_a_run_that_is_going_on_is_shown_as_running(shop: Workspace) -> None:
    shop.edit("    return raw", "    return raw.slice(1)")
    project = shop.project()
    with run_lock(project.settings, "dev") as lock:
        assert lock.acquire()
        _leave_running(project, "orders")

        status = project.status()

        assert status["orders"].state == "running"
        assert status.running is not None
        assert (status.running.run_id, status.running.state) == (2, "running")


def _leave_running(project: Project, key: str) -> None:
    """What a process leaves that was killed while it computed this asset."""
    catalog = Catalog(project.settings.catalog_path, write=True)
    run_id, _ = catalog.begin_run(
        project.env, selection="", cause="cli", user="ann", host="desk", pid=1, at=time.time()
    )
    catalog.save_attempts(project.env, [Attempt(run_id, AssetKey(key), "", 1, "running", time.time(), None)])
    catalog.close()


# -- plan and select


def test_a_plan_says_what_would_run_and_why_and_changes_nothing(shop: Workspace) -> None:
    shop.edit("    return raw", "    return raw.slice(1)")
    project = shop.project()
    before = (shop.root / ".assetflow" / "catalog.db").read_bytes()

    plan = project.plan()

    assert [step.asset for step in plan.run] == ["orders"]
    assert [step.asset for step in plan.maybe] == ["totals", "report"]
    assert [step.asset for step in plan.current] == ["apart"]
    assert plan["orders"].reasons[0].code == "code_changed"
    assert plan["totals"].reasons[0].text == "← orders"
    assert (plan["orders"].estimate_s or 0) > 0
    assert (shop.root / ".assetflow" / "catalog.db").read_bytes() == before
    assert len(project.runs()) == 1


def test_a_plan_says_that_an_asset_failed_last_time(shop: Workspace) -> None:
    shop.edit("    return raw", "    raise ValueError('no luck')")
    shop.materialize()

    reasons = shop.project().plan()["orders"].reasons

    assert [reason.code for reason in reasons] == ["code_changed", "failed_last"]
    assert reasons[1].text == "failed in run #2: no luck"


def test_a_plan_is_json(shop: Workspace) -> None:
    document = json.loads(json.dumps(shop.project().plan("+totals", force=True).to_json()))

    assert [item["asset"] for item in document["items"] if item["action"] == "run"] == ["orders", "totals"]
    assert document["selection"] == "+totals"


def test_a_result_is_json(shop: Workspace) -> None:
    result = shop.materialize("totals", force=True)

    document = json.loads(json.dumps(result.to_json()))

    assert (document["run"], document["ok"], document["counts"]) == (2, True, {"unchanged": 1})
    assert document["outcomes"][0]["inputs"] == [{"parameter": "orders", "asset": "orders", "version": 1, "rows": 2}]


# -- history and show


def test_history_says_how_rows_and_columns_changed_and_why(shop: Workspace) -> None:
    shop.file("raw.csv", "id,net,currency\n1,10,EUR\n2,20,EUR\n3,30,GBP\n")
    shop.materialize()
    shop.edit("    return raw", "    return raw.drop(['id']).set_column(0, 'net', [[1.5, 2.5, 3.5]])")
    shop.materialize()

    history = shop.project().history("orders")

    assert [entry.head.version.number for entry in history] == [3, 2, 1]
    assert [entry.head.version.rows for entry in history] == [3, 3, 2]
    assert [entry.rows_before for entry in history] == [3, 2, None]
    assert [entry.schema_change for entry in history] == [("- id", "net: int64 → double"), ("+ currency",), ()]
    assert [entry.reason for entry in history] == ["code_changed", "input_changed", "never_materialized"]
    assert [entry.is_current for entry in history] == [True, False, False]
    assert all("@" in entry.by and entry.seconds > 0 for entry in history)


def test_history_has_links_and_unchanged_results_too(shop: Workspace) -> None:
    shop.edit("    return raw", "    return raw.slice(1)")
    shop.materialize()
    shop.edit("    return raw.slice(1)", "    return raw")
    shop.materialize()
    shop.materialize("orders", force=True)

    history = shop.project().history("orders")

    assert [(entry.head.version.number, entry.head.trace.kind) for entry in history] == [
        (1, "run"), (1, "link"), (2, "run"), (1, "run"),
    ]  # fmt: skip
    assert [entry.reason for entry in history] == [
        "forced",
        "linked: code_changed",
        "code_changed",
        "never_materialized",
    ]


def test_columns_in_another_order_are_a_change_of_the_schema(shop: Workspace) -> None:
    shop.edit("    return raw", "    return raw.select(['net', 'id'])")
    shop.materialize()

    assert shop.project().history("orders")[0].schema_change == ("re-ordered",)


def test_history_can_be_cut_and_still_compares_with_the_entry_before(shop: Workspace) -> None:
    shop.file("raw.csv", "id,net,currency\n1,10,EUR\n")
    shop.materialize()

    (entry,) = shop.project().history("orders", limit=1)

    assert (entry.schema_change, entry.rows_before) == (("+ currency",), 2)
    assert shop.project().history("raw")[0].reason == "observed"


def test_show_has_all_about_one_asset(shop: Workspace) -> None:
    view = shop.project().show("orders")

    assert (view.status.state, view.downstream, view.all_downstream) == ("current", ("totals",), 2)
    assert view.status.spec.description == "One row per order."
    assert len(view.history) == 1
    assert view.source_text is not None
    assert view.source_text.startswith("def orders(raw: pa.Table)")
    assert view.source_text.endswith("return raw")
    assert [(check.name, check.passed) for check in view.checks] == [("row_count", True)]


def test_a_name_that_is_no_asset_is_an_error_everywhere(shop: Workspace) -> None:
    project = shop.project()

    for verb in (project.show, project.history, lambda key: project.logs(key=key), project.plan, project.select):
        with pytest.raises(NoSuchAsset, match="orders"):
            verb("ordrs")


# -- runs and logs


def test_runs_are_newest_first_with_what_they_did(shop: Workspace) -> None:
    shop.edit("    return raw", "    raise ValueError('no')")
    shop.materialize("+totals")

    runs = shop.project().runs()

    assert [(run.run_id, run.state, run.selection, dict(run.counts)) for run in runs] == [
        (2, "failed", "+totals", {"failed": 1, "blocked": 1}), (1, "ok", "", {"materialized": 4}),
    ]  # fmt: skip
    assert all(run.pid == os.getpid() and run.finished_at is not None for run in runs)
    assert [run.run_id for run in shop.project().runs(limit=1)] == [2]


def test_the_details_of_a_run_are_its_attempts(shop: Workspace) -> None:
    shop.edit("    return raw", "    raise ValueError('no')")
    shop.materialize()

    run, attempts = shop.project().run_details(2)

    assert run.run_id == 2
    found = {attempt.asset: attempt for attempt in attempts}
    assert {key: attempt.state for key, attempt in found.items()} == {
        AssetKey("orders"): "failed", AssetKey("totals"): "blocked", AssetKey("report"): "blocked",
    }  # fmt: skip
    error = found[AssetKey("orders")].error
    assert error is not None
    assert (error["type"], error["message"]) == ("ValueError", "no")
    assert found[AssetKey("report")].blocked_by == ("orders",)
    with pytest.raises(UsageError, match="there is no run #9"):
        shop.project().run_details(9)


def test_logs_are_those_of_the_last_run_of_a_run_or_of_an_asset(shop: Workspace) -> None:
    shop.edit('print("reading"', 'print("reading again"')
    shop.materialize("orders", force=True)
    project = shop.project()

    assert [(log.run_id, log.asset, log.text) for log in project.logs()] == [(2, "orders", "reading again 2\n")]
    assert {log.asset for log in project.logs(run_id=1)} == {"orders", "totals", "report", "apart"}
    assert [log.text for log in project.logs(run_id=1, key="orders")] == ["reading 2\n"]
    assert [log.run_id for log in project.logs(key="report")] == [1]
    assert isinstance(project.logs()[0].path, Path)


def test_logs_of_an_asset_are_those_of_when_its_function_was_called(shop: Workspace) -> None:
    code = (shop.root / "assets.py").read_text()
    shop.materialize(env="prod")  # reuses all, calls none
    shop.edit('print("reading"', 'print("reading again"')
    shop.materialize("orders")
    (shop.root / "assets.py").write_text(code)
    shop.materialize("orders")  # links to what run 1 made
    shop.edit('print("reading", raw.num_rows)', 'raise ValueError("no")')
    shop.materialize()  # `report` is blocked
    shop.materialize("apart", env="prod", force=True)
    project = shop.project()

    assert [(log.run_id, log.env) for log in project.logs(key="orders")] == [(5, "dev")]
    assert [(log.run_id, log.env) for log in project.logs(key="report")] == [(1, "dev")]
    assert [(log.run_id, log.env) for log in project.logs(key="apart")] == [(1, "dev")]
    assert [log.run_id for log in shop.project(env="prod").logs(key="apart")] == [6]
    assert [log.run_id for log in shop.project(env="prod").logs(key="report")] == [1]  # it ran nowhere else
    assert {lines.run_id for lines in project.follow_logs(key="orders")} == {5}
    assert project.logs(run_id=4, key="orders") == ()


def test_logs_of_a_run_that_is_not_there_are_an_error(shop: Workspace) -> None:
    project = shop.project()

    with pytest.raises(UsageError, match="there is no run #9"):
        project.logs(run_id=9)
    with pytest.raises(UsageError, match="there is no run #9"):
        project.logs(run_id=9, key="orders")


def test_before_the_first_run_there_are_no_logs_and_no_runs(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    project = workspace.project()

    assert project.runs() == ()
    assert project.history("orders") == ()
    with pytest.raises(UsageError, match="there has been no run yet"):
        project.logs()


def test_looking_makes_no_catalog(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    project = workspace.project()

    project.status()
    project.plan()
    project.history("orders")

    assert not read_settings(workspace.root).catalog_path.exists()


def test_a_secret_is_hidden_by_itself_and_once_it_is_revealed(workspace: Workspace) -> None:
    workspace.assets("""
        class Client(Resource):
            token: Secret = Secret("hunter2")

        @asset
        def hides(client: Client) -> int:
            raise ValueError(f"{client} {client.token!r} {client.model_dump_json()}")

        @asset
        def tells(client: Client) -> int:
            print("printed", client.token.reveal())
            raise ValueError(f"raised {client.token.reveal()}")
        """)

    result = workspace.materialize()

    logs = {str(log.asset): log.text for log in workspace.project().logs()}
    assert "hunter2" not in logs["hides"]
    assert "printed ***" in logs["tells"]
    assert "raised ***" in logs["tells"]
    assert result["hides"].error is not None
    assert "hunter2" not in result["hides"].error.message
    assert result["tells"].error is not None
    assert result["tells"].error.message == "raised ***"


def test_an_asset_is_blocked_no_longer_when_what_blocked_it_was_mended(workspace: Workspace) -> None:
    workspace.assets("""
    @asset
    def first() -> int:
        raise ValueError("broken")

    @asset
    def second(first: int) -> int:
        return first

    @asset
    def third(second: int) -> int:
        return second
    """)
    workspace.materialize()
    assert workspace.states() == {"first": "failed", "second": "blocked", "third": "blocked"}
    workspace.edit('raise ValueError("broken")', "return 1")
    assert workspace.states()["second"] == "blocked", "an edit alone mends nothing"

    assert workspace.materialize("first").ok
    assert workspace.states() == {"first": "current", "second": "missing", "third": "missing"}
    row = workspace.project().status()["second"]
    assert (row.content, row.modifiers) == ("missing", ())


def test_what_an_asset_needs_is_told_beside_what_became_of_it(workspace: Workspace) -> None:
    workspace.assets("""
    @asset
    def first() -> int:
        return 1

    @asset
    def second(first: int) -> int:
        return first
    """)
    assert workspace.materialize().ok
    workspace.edit("return 1", "return 1 // 0")
    workspace.materialize()
    rows = workspace.project().status()

    assert [(row.state, row.content, [one.word for one in row.modifiers]) for row in rows] == [
        ("failed", "stale", ["failed"]),
        ("blocked", "maybe", ["blocked"]),
    ]


def test_different_contents_of_the_same_code_and_inputs_are_noticed(workspace: Workspace) -> None:
    workspace.assets("""
    ticks = Path(__file__).parent / "ticks"

    @asset
    def noisy() -> int:
        ticks.write_text((ticks.read_text() if ticks.exists() else "") + "x")
        return len(ticks.read_text())
    """)
    assert workspace.materialize().ok
    assert workspace.project().status()["noisy"].modifiers == ()
    assert workspace.materialize("noisy", force=True).ok
    row = workspace.project().status()["noisy"]
    assert (row.state, [one.word for one in row.modifiers]) == ("current", ["nondeterministic"])
    assert [one.word for one in workspace.project().plan()["noisy"].modifiers] == ["nondeterministic"]


def test_of_different_contents_the_one_that_is_current_is_linked(workspace: Workspace) -> None:
    workspace.assets("""
    ticks = Path(__file__).parent / "ticks"

    @asset
    def noisy() -> int:
        ticks.write_text((ticks.read_text() if ticks.exists() else "") + "x")
        return min(len(ticks.read_text()), 2)
    """)
    assert workspace.materialize().ok  # 1
    assert workspace.materialize("noisy", force=True).ok  # 2, with the same input key
    workspace.edit("return min(len(ticks.read_text()), 2)", "return min(len(ticks.read_text()), 1)")
    assert workspace.materialize().ok  # 1 again, by other code
    workspace.edit("return min(len(ticks.read_text()), 1)", "return min(len(ticks.read_text()), 2)")
    plan = workspace.project().plan()

    assert plan["noisy"].link is not None
    assert plan["noisy"].link.version.number == 1, "the newest trace led to version 2, and what is current is version 1"
    assert plan["noisy"].head is not None
    assert plan["noisy"].head.version.data_hash == plan["noisy"].link.version.data_hash


def test_a_plan_predicts_from_the_last_runs(workspace: Workspace) -> None:
    workspace.assets("""
    @asset
    def first() -> int:
        return 1

    @asset
    def second(first: int) -> int:
        return first
    """)
    assert workspace.materialize(executor="inline").ok
    workspace.edit("return 1", "return 2")
    plan = workspace.project(overrides={"workers": "4"}).plan()

    assert plan.estimate.workers == 4
    assert plan.estimate.critical_path == ("first", "second")
    assert plan.estimate.unknown == 0
    assert plan.estimate.work_s == pytest.approx(plan.estimate.path_s)
    assert [(cause.code, cause.explains) for cause in plan.root_causes] == [("code_changed", 2)]
