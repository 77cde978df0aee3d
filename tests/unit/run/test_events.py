"""Every run leaves its events in a file of its folder, which never costs the run anything."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.cli.progress import JsonWatcher
from assetflow.cli.render import Screen
from assetflow.run.outcome import SilentObserver

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

THREE = """
    @asset
    def one() -> pa.Table:
        return pa.table({"n": [1, 2, 3]})

    @asset
    def two(one: pa.Table) -> int:
        raise ValueError("no luck")

    @asset
    def three(two: int) -> int:
        return two
    """


def events(workspace: Workspace, run_id: int = 1) -> list[dict[str, Any]]:
    path = workspace.root / ".assetflow" / "runs" / str(run_id) / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_file_has_every_event_in_order(workspace: Workspace) -> None:
    workspace.assets(THREE)

    workspace.materialize(executor="inline")

    found = events(workspace)
    assert [(event["seq"], event["type"], event.get("asset")) for event in found] == [
        (1, "run_started", None), (2, "asset_started", "one"), (3, "asset_materialized", "one"),
        (4, "asset_started", "two"), (5, "asset_failed", "two"), (6, "asset_blocked", "three"),
        (7, "run_finished", None),
    ]  # fmt: skip
    assert {(event["schema"], event["run"]) for event in found} == {("assetflow.event/1", 1)}
    assert found[4]["error"]["message"] == "no luck"
    assert found[4]["inputs"] == [{"parameter": "one", "asset": "one", "version": 1, "rows": 3}]
    assert workspace.project().events(1) == tuple(found)


def test_it_says_what_json_progress_says(workspace: Workspace) -> None:
    workspace.assets(THREE)
    out = io.StringIO()

    workspace.materialize(observer=JsonWatcher(Screen(out, io.StringIO())))

    seen = [json.loads(line) for line in out.getvalue().splitlines()]
    for event in [*seen, *(found := events(workspace))]:
        event.pop("ts")
    assert seen == found


def test_a_run_that_breaks_off_ends_in_the_file_too(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")

    class Breaking(SilentObserver):
        def step_finished(self, outcome: object) -> None:
            raise RuntimeError("the coordinator broke")

    with pytest.raises(RuntimeError):
        workspace.materialize(observer=Breaking())

    last = events(workspace)[-1]
    assert (last["type"], last["ok"], last["error"]) == (
        "run_finished", False, {"type": "RuntimeError", "message": "the coordinator broke"},
    )  # fmt: skip


def test_warnings_are_events(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def one() -> int:
            return 1

        @on("asset.materialized")
        def breaks(event: Event) -> None:
            raise ValueError("no")
        """)

    workspace.materialize()

    assert [event["type"] for event in events(workspace)][-2:] == ["warning", "run_finished"]


def test_a_line_that_is_cut_short_is_left_out(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")
    workspace.materialize()
    path = workspace.root / ".assetflow" / "runs" / "1" / "events.jsonl"
    path.write_text(path.read_text()[:-10])

    assert [event["seq"] for event in workspace.project().events(1)] == [1, 2, 3]


def test_a_run_without_events_has_none(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")
    workspace.materialize()
    (workspace.root / ".assetflow" / "runs" / "1" / "events.jsonl").unlink()

    assert workspace.project().events(1) == ()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_does_not_fail_the_run(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")
    folder = workspace.root / ".assetflow" / "runs" / "1"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").symlink_to("/dev/full")
    warnings: list[str] = []

    class Watching(SilentObserver):
        def warn(self, text: str) -> None:
            warnings.append(text)

    result = workspace.materialize(observer=Watching())

    assert result.ok
    assert result["one"].state == "materialized"
    assert warnings == ["the events of this run are not all recorded: No space left on device"]


def test_a_file_that_cannot_be_made_does_not_fail_the_run(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")
    (workspace.root / ".assetflow" / "runs" / "1" / "events.jsonl").mkdir(parents=True)

    assert workspace.materialize().ok


def test_many_tiny_assets_wait_for_no_disk(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.assets("@assets(*[f'a{n}' for n in range(40)])\ndef many() -> tuple:\n    return tuple(range(40))\n")
    synced: list[str] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{file}").readlink()) if Path("/proc/self/fd").exists() else "")
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    workspace.materialize().raise_for_status()

    assert len(events(workspace)) == 82
    assert not [name for name in synced if name.endswith("events.jsonl")]
