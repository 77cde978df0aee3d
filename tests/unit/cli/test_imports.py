"""What a verb imports is what it costs: these lists are the start-up budget."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

HEAVY = (
    "numpy", "pandas", "pyarrow", "duckdb", "polars", "pydantic", "croniter", "rich", "xxhash", "asyncio", "tomllib",
    "importlib.metadata", "multiprocessing", "concurrent.futures", "ssl", "email", "httpx", "apprise", "requests",
)  # fmt: skip
USERS = ("assets",)

PROBE = """
import sys
from assetflow.cli.main import main
code = main(sys.argv[1:])
sys.stderr.write(chr(10).join(["imported:", *sys.modules]))
sys.exit(code)
"""


def imported(folder: Path, *arguments: str) -> set[str]:
    """The modules that a call imports, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.partition("imported:\n")[2].splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["ls"], ["status"], ["status", "--freshness"], ["plan"], ["show", "total"], ["history", "total"],
        ["lineage"], ["lineage", "--format", "svg"], ["materialize"], ["runs"], ["logs"], ["config"], ["explain"],
        ["completion", "bash"], ["__complete", "bash", "assetflow plan d"], ["ls", "--json"], ["plan", "--help"],
        ["why", "total"], ["why", "--not", "total"], ["why", "total", "--against", "1"], ["check"], ["metrics"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_looking_imports_no_heavy_library_and_no_user_code(built: Path, arguments: list[str]) -> None:
    found = imported(built, *arguments)

    assert found & {*HEAVY, *USERS} == set()


ALERTS = {
    "assetflow.model.alerts", "assetflow.catalog.outbox", "assetflow.run.alerting", "assetflow.automation.alerts",
    "assetflow.automation.delivery", "assetflow.automation.sending", "assetflow.load.alert_schema",
}  # fmt: skip


@pytest.mark.parametrize("arguments", [["materialize"], ["materialize", "total", "--force"], ["status"]], ids=" ".join)
def test_a_project_with_nobody_to_tell_imports_nothing_of_alerts(project: Path, arguments: list[str]) -> None:
    imported(project, "plan")  # which reads the project file

    assert imported(project, *arguments).isdisjoint(ALERTS)


@pytest.mark.parametrize("arguments", [["alert", "ls"], ["alert", "history"], ["alert", "send"]], ids=" ".join)
def test_looking_at_alerts_imports_no_library_that_sends_them(project: Path, arguments: list[str]) -> None:
    with (project / "assetflow.toml").open("a") as file:
        file.write('[alerts.team]\nurl = "slack://a/b/c"\n')
    imported(project, "plan")  # which reads the project file

    assert imported(project, *arguments).isdisjoint([*HEAVY, *USERS])


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]], ids=" ".join)
def test_the_shortest_ways_import_almost_nothing(built: Path, arguments: list[str]) -> None:
    found = imported(built, *arguments)
    ours = {name for name in found if name.startswith("assetflow")}

    assert found.isdisjoint([*HEAVY, "json", "sqlite3", "msgspec", "dataclasses", "argparse", "inspect", "datetime"])
    assert ours <= {
        "assetflow", "assetflow.cli", "assetflow.cli.main", "assetflow.cli.verbs", "assetflow.cli.help",
        "assetflow.cli.render", "assetflow.cli.text",
    }  # fmt: skip


SHORT = {
    "assetflow.cli", "assetflow.cli.answer", "assetflow.cli.glancing", "assetflow.cli.main", "assetflow.cli.render",
    "assetflow.cli.render_current", "assetflow.cli.render_glance", "assetflow.cli.short", "assetflow.cli.table",
    "assetflow.cli.text", "assetflow.cli.verbs", "assetflow.catalog", "assetflow.catalog.token",
    "assetflow.fingerprint", "assetflow.fingerprint.hashing", "assetflow.io", "assetflow.io.matching",
    "assetflow.load", "assetflow.load.caches", "assetflow.load.finding", "assetflow.load.sealed",
    "assetflow.load.untouched", "assetflow.model", "assetflow.model.durations", "assetflow.run",
    "assetflow.run.unchanged", "assetflow.run.variables",
}  # fmt: skip
"""All of ours that an answer which is known takes: no record, no spec, no graph, and no parser of options."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"], ["plan", "--json"], ["plan", "total"], ["ls"], ["ls", "--json"], ["ls", "doubled", "--sort", "age"],
        ["status"], ["status", "--json", "--exit-code"], ["materialize"], ["materialize", "--json"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_was_said_before_is_said_with_next_to_nothing(project: Path, arguments: list[str]) -> None:
    imported(project, "materialize")
    imported(project, *arguments)

    found = imported(project, *arguments)

    assert {name for name in found if name.split(".")[0] == "assetflow"} <= {"assetflow", *SHORT}
    assert found.isdisjoint(
        [*HEAVY, *USERS, "msgspec", "dataclasses", "inspect", "argparse", "pathlib", "difflib", "logging"]
    )


FRAMES = """
import pandas as pd

from assetflow import asset


@asset
def numbers() -> pd.DataFrame:
    return pd.DataFrame({"n": [1, 2, 3]})


@asset
def shifted(numbers: pd.DataFrame) -> pd.DataFrame:
    return numbers.assign(n=numbers.n + 1)
"""

PLAIN_RUN = 196
"""So many modules of ours does a run after an edit take: of frames without partitions, on threads of one process."""

NOT_PLAIN = {
    f"assetflow.{name}"
    for name in (
        "automation.locks", "catalog.backfills", "catalog.calls", "catalog.dynamic", "catalog.keeping",
        "catalog.marks", "catalog.occasions", "cli.glancing", "cli.render_errors", "cli.render_glance",
        "cli.render_plan", "cli.render_waiting", "cli.zones", "fingerprint.migrate", "fingerprint.readable",
        "fingerprint.values", "io.checks", "io.columns", "io.inspect", "io.matching", "io.parts", "io.sources",
        "load.audience", "load.canonical", "model.context", "model.inputs", "model.jobs", "model.versions",
        "model.zones", "moves", "partitions", "plan.causes", "plan.crowds", "plan.freshness", "plan.lateness",
        "plan.modifiers", "plan.saved", "run.accepting", "run.hooks", "run.reach",
    )
}  # fmt: skip
"""What only other verbs take, or assets that declare more."""


def test_a_run_after_an_edit_imports_only_what_plain_assets_take(tmp_path: Path) -> None:
    module = tmp_path / "frames.py"
    module.write_text(FRAMES)
    (tmp_path / "assetflow.toml").write_text('modules = ["frames"]\n')
    verb = ["materialize", "--quiet", "--executor", "threads"]
    imported(tmp_path, *verb)
    module.write_text(FRAMES.replace("+ 1", "+ 22"))

    found = imported(tmp_path, *verb)

    ours = {name for name in found if name.split(".")[0] == "assetflow"}
    assert "pandas" in found, "the functions ran in this process"
    assert ours & NOT_PLAIN == set()
    assert len(ours) <= PLAIN_RUN, sorted(ours)


def test_only_the_module_of_a_verb_is_imported(built: Path) -> None:
    found = imported(built, "runs")

    assert "assetflow.cli.running" in found
    assert found.isdisjoint(
        [f"assetflow.cli.{name}" for name in ("planning", "looking", "drawing", "data", "progress")]
    )
