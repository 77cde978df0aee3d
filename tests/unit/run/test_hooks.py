"""Hooks are told what happened after it is recorded, in order, and can neither fail nor hold up a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.run import hooks as hooks_at_work
from assetflow.run.outcome import RunResult, SilentObserver

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

Executor = pytest.mark.parametrize("executor", ["inline", "threads"])

TELL = """
import json

def tell(event, by=""):
    path = Path(__file__).parent / "told.jsonl"
    with path.open("a") as file:
        facts = {name: getattr(event, name) for name in event.__struct_fields__ if name not in ("check", "checks")}
        facts |= {"by": by, "check": event.check and event.check.name, "checks": [c.name for c in event.checks]}
        file.write(json.dumps(facts, default=str) + "\\n")
"""


class Watching(SilentObserver):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.calls: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.calls.append("warn")

    def run_finished(self, result: RunResult) -> None:
        self.calls.append("run_finished")


def project(workspace: Workspace, text: str) -> None:
    from textwrap import dedent

    workspace.assets(TELL + dedent(text))


def told(workspace: Workspace) -> list[dict[str, Any]]:
    path = workspace.root / "told.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def names(workspace: Workspace) -> list[str]:
    return [event["name"] + (f" {event['asset']}" if event["asset"] else "") for event in told(workspace)]


@Executor
def test_everything_that_happens_is_told_in_order(workspace: Workspace, executor: str) -> None:
    project(
        workspace,
        """
        @asset
        def good() -> int:
            return 1

        @asset
        def bad(good: int) -> int:
            raise ValueError("no luck")

        @asset
        def after(bad: int) -> int:
            return bad

        @on("*")
        def listen(event: Event) -> None:
            tell(event)
        """,
    )

    result = workspace.materialize(executor=executor)

    assert not result.ok
    events = told(workspace)
    assert [event["name"] + f" {event['asset'] or ''}".rstrip() for event in events] == [
        "run.started", "asset.started good", "asset.materialized good", "asset.started bad", "asset.failed bad",
        "asset.blocked after", "run.failed", "run.finished",
    ]  # fmt: skip
    failed, blocked, ended = events[4], events[5], events[-1]
    line = 1 + (workspace.root / "assets.py").read_text().splitlines().index('    raise ValueError("no luck")')
    assert (failed["error"], failed["where"]) == ("ValueError: no luck", f"assets.py:{line}")
    assert failed["message"] == "bad failed: ValueError: no luck"
    assert failed["traceback"].endswith("ValueError: no luck\n")
    assert failed["log"] == str(workspace.root / ".assetflow" / "runs" / "1" / "bad.1.log")
    assert (blocked["blocked_by"], blocked["message"], blocked["log"]) == (["bad"], "after blocked: bad failed", None)
    assert (ended["state"], ended["counts"], ended["run_id"], ended["env"]) == (
        "failed", {"materialized": 1, "failed": 1, "blocked": 1}, 1, "dev",
    )  # fmt: skip


def test_what_is_told_is_recorded_already(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def one() -> int:
            return 7

        @on("asset.materialized", "run.finished")
        def look(event: Event) -> None:
            project = Project.load(Path(__file__).parent)
            print(event.name, project.read("one"), *([project.runs()[0].state] if event.name == "run.finished" else []))
        """)

    workspace.materialize().raise_for_status()

    log = (workspace.root / ".assetflow" / "runs" / "1" / "hooks.log").read_text()
    assert log.splitlines() == ["asset.materialized 7", "run.finished 7 ok"]


def test_only_the_events_of_the_selection_count(workspace: Workspace) -> None:
    project(
        workspace,
        """
        @asset(tags=["gold"])
        def one() -> int:
            return 1

        @asset
        def two() -> int:
            return 2

        @on("*", select="tag:gold")
        def listen(event: Event) -> None:
            tell(event)
        """,
    )

    workspace.materialize()

    assert names(workspace) == ["asset.started one", "asset.materialized one"]


def test_checks_are_told_before_their_asset(workspace: Workspace) -> None:
    project(
        workspace,
        """
        @asset(checks=[row_count(5, blocking=False), not_null("n")])
        def rows() -> pa.Table:
            return pa.table({"n": [1]})

        @check(rows)
        def enough(rows: Rows) -> CheckResult:
            return CheckResult(False, "too few")

        @on("check.*", "asset.rejected")
        def listen(event: Event) -> None:
            tell(event)
        """,
    )

    workspace.materialize()

    events = told(workspace)
    assert [(event["name"], event["check"]) for event in events] == [
        ("check.warned", "row_count"), ("check.failed", "enough"), ("asset.rejected", None),
    ]  # fmt: skip
    assert events[1]["message"] == "check `enough` of rows failed: too few"
    assert events[2]["checks"] == ["row_count", "not_null(n)", "enough"]


def test_retried_and_unchanged_assets_are_told(workspace: Workspace) -> None:
    project(
        workspace,
        """
        tried = Path(__file__).parent / "tried"

        @asset(retry=Retry(times=1, delay="1ms"))
        def shaky() -> int:
            if not tried.exists():
                tried.touch()
                raise OSError("not yet")
            return 1

        @on("asset.unchanged", "asset.retrying", "asset.materialized")
        def listen(event: Event) -> None:
            tell(event)
        """,
    )

    workspace.materialize().raise_for_status()
    events = told(workspace)
    assert [(event["name"], event["attempt"]) for event in events] == [("asset.retrying", 1), ("asset.materialized", 2)]
    assert events[0]["message"].startswith("shaky failed: OSError: not yet; attempt 2 of 2 ")

    workspace.materialize(force=True)
    assert names(workspace) == ["asset.unchanged shaky"]


def test_what_a_hook_raises_is_a_warning_of_the_run(workspace: Workspace) -> None:
    project(
        workspace,
        """
        @asset
        def one() -> int:
            return 1

        @on("asset.materialized")
        def breaks(event: Event) -> None:
            print("about to break")
            raise KeyError("who")

        @on("asset.materialized")
        def leaves(event: Event) -> None:
            raise SystemExit(3)

        @on("run.finished")
        def listen(event: Event) -> None:
            tell(event)
        """,
    )
    watching = Watching()

    assert workspace.materialize(observer=watching).ok

    line = 1 + (workspace.root / "assets.py").read_text().splitlines().index('    raise KeyError("who")')
    assert watching.warnings[0] == (
        f"hook `breaks` (assets.py:{line - 2}) raised KeyError: 'who' at assets.py:{line}, told of asset.materialized"
    )
    assert "hook `leaves`" in watching.warnings[1]
    assert watching.calls == ["warn", "warn", "run_finished"]
    assert names(workspace) == ["run.finished"]
    log = (workspace.root / ".assetflow" / "runs" / "1" / "hooks.log").read_text()
    assert log.startswith("about to break\nTraceback (most recent call last):\n")


def test_a_hook_that_hangs_holds_nothing_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks_at_work, "PATIENCE_S", 0.2)
    project(
        workspace,
        """
        @asset
        def one() -> int:
            return 1

        @on("run.started", "run.finished")
        def hangs(event: Event) -> None:
            threading.Event().wait(60)
        """,
    )
    watching = Watching()

    result = workspace.materialize(observer=watching)

    assert result.ok
    assert result.seconds < 30
    (warning,) = watching.warnings
    assert warning.startswith("hook `hangs` (assets.py:")
    assert warning.endswith("did not finish in time; 1 more calls of hooks were left out")
    assert workspace.project().runs()[0].state == "ok"


def test_ctrl_c_ends_the_waiting_for_hooks_and_changes_nothing(workspace: Workspace) -> None:
    workspace.assets("""
        import os, signal

        @asset
        def one() -> int:
            return 1

        @on("run.finished")
        def hangs(event: Event) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(60)
        """)
    watching = Watching()

    with pytest.raises(KeyboardInterrupt):
        workspace.materialize(observer=watching)

    assert watching.calls[-1] == "run_finished"
    assert workspace.project().runs()[0].state == "ok"
    last = workspace.project().events(1)[-1]
    assert (last["type"], last["ok"]) == ("run_finished", True)


@Executor
def test_what_hooks_print_never_reaches_the_terminal(
    workspace: Workspace, executor: str, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.assets("""
        import logging

        @asset
        def one() -> int:
            print("from the asset")
            return 1

        @on("*")
        def loud(event: Event) -> None:
            print(event.name)
            if event.name == "run.finished":
                logging.getLogger("hooks").warning("the end")
        """)

    workspace.materialize(executor=executor)

    assert capfd.readouterr() == ("", "")
    log = (workspace.root / ".assetflow" / "runs" / "1" / "hooks.log").read_text().splitlines()
    assert log[:4] == ["run.started", "asset.started", "asset.materialized", "run.finished"]
    assert [line.partition("WARNING")[2].strip() for line in log[4:]] == ["the end"]
    (asset_log,) = workspace.project().logs()
    assert asset_log.text == "from the asset\n"


def test_hooks_take_resources_that_are_set_up_once_and_torn_down(workspace: Workspace) -> None:
    workspace.assets(
        """
        class Channel(Resource):
            name: str = "nowhere"

            def set_up(self) -> None:
                ran("set up")

            def tear_down(self) -> None:
                ran("torn down")

            def send(self, text: str) -> None:
                ran(f"{self.name}: {text}")

        @asset
        def one() -> int:
            return 1

        @on("run.*")
        def send(event: Event, channel: Channel) -> None:
            channel.send(event.name)
        """,
        settings="""
        [resources.Channel]
        name = "team"
        """,
    )

    workspace.materialize()

    assert workspace.ran() == ["set up", "team: run.started", "team: run.finished", "torn down"]


def test_a_run_that_breaks_off_is_told_as_failed(workspace: Workspace) -> None:
    project(
        workspace,
        """
        @asset
        def one() -> int:
            return 1

        @on("run.failed", "run.finished")
        def listen(event: Event) -> None:
            tell(event)
        """,
    )

    class Breaking(SilentObserver):
        def step_finished(self, outcome: object) -> None:
            raise RuntimeError("the coordinator broke")

    with pytest.raises(RuntimeError):
        workspace.materialize(observer=Breaking())

    events = told(workspace)
    assert [event["name"] for event in events] == ["run.failed", "run.finished"]
    assert events[0]["message"] == "run #1 failed: RuntimeError: the coordinator broke"
    assert workspace.project().runs()[0].state == "failed"


def test_hooks_are_part_of_no_fingerprint(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def one() -> int:
            return 1

        @on("run.finished")
        def listen(event: Event) -> None:
            print("first words")
        """)
    workspace.materialize()

    workspace.edit("first words", "other words")

    assert workspace.states() == {"one": "current"}
    assert workspace.materialize().run_id is None


def test_a_hook_stays_a_plain_function(workspace: Workspace) -> None:
    from assetflow import Event, on

    @on("run.failed")
    def shout(event: Event) -> str:
        return event.message.upper()

    assert shout(Event("run.failed", 1, "dev", 0.0, "oh no")) == "OH NO"
