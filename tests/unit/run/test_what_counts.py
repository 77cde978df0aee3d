"""What counts for an asset beside its code and its inputs: declared files, variables, versions, cues."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from assetflow.errors import ProjectLoadError
from assetflow.model.keys import AssetKey
from assetflow.plan.planner import Plan

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace


def project_of(arguments: str) -> str:
    return f"""
@asset({arguments})
def rates() -> Rows:
    ran("rates")
    return [{{"rate": 1}}]

@asset
def report(rates: Rows) -> int:
    ran("report")
    return len(rates)
"""


def reasons(plan: Plan, key: str = "rates") -> list[tuple[str, str]]:
    return [(reason.code, reason.text) for reason in plan[key].reasons]


def build(workspace: Workspace, arguments: str) -> None:
    workspace.assets(project_of(arguments))
    assert workspace.materialize().ok
    assert workspace.ran() == ["rates", "report"]
    assert workspace.project().plan().is_empty


# ------------------------------------------------------------------------------------------------------------- files


def test_a_declared_file_counts_by_its_content(workspace: Workspace) -> None:
    file = workspace.file("data/rates.csv", "EUR,1\n")
    build(workspace, 'files=["data/rates.csv"]')

    file.write_text("EUR,1\n")  # another time and inode, the same content
    assert workspace.project().plan().is_empty
    file.write_text("EUR,2\n")
    assert reasons(workspace.project().plan()) == [("files_changed", "files changed: data/rates.csv")]
    assert workspace.outcomes() == {"rates": "unchanged", "report": "cut_off"}
    assert workspace.project().plan().is_empty

    file.write_text("EUR,1\n")
    plan = workspace.project().plan()
    assert [step.asset for step in plan.link] == ["rates"], "the result of the file as it was is there"
    assert workspace.materialize().ok
    assert workspace.ran() == ["rates"]


def test_a_file_that_comes_or_goes_counts_in_a_glob_and_in_a_folder(workspace: Workspace) -> None:
    workspace.file("data/a.csv", "1")
    build(workspace, 'files=["data/*.csv", "notes"]')

    workspace.file("data/b.csv", "2")
    assert reasons(workspace.project().plan()) == [("files_changed", "files changed: data/*.csv")]
    (workspace.root / "data" / "b.csv").unlink()
    assert workspace.project().plan().is_empty
    note = workspace.file("notes/deep/one.txt", "x")
    assert reasons(workspace.project().plan()) == [("files_changed", "files changed: notes")]
    note.rename(note.with_name("other.txt"))
    assert workspace.materialize().ok
    note.with_name("other.txt").rename(note)
    assert reasons(workspace.project().plan()) == [("files_changed", "files changed: notes")], "names count too"


def test_what_a_declared_file_looked_like_is_remembered(workspace: Workspace) -> None:
    file = workspace.file("data/rates.csv", "EUR,1\n")
    build(workspace, 'files=["data/rates.csv"]')
    with closing(sqlite3.connect(workspace.root / ".assetflow" / "catalog.db")) as connection:
        assert connection.execute("SELECT path, size FROM file_state").fetchall() == [(str(file), 6)]


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.csv", ""])
def test_a_file_outside_of_the_project_is_refused(workspace: Workspace, path: str) -> None:
    workspace.assets(project_of(f'files=["{path}"]'))
    with pytest.raises(ProjectLoadError, match="does not lie below the project"):
        workspace.project()


# --------------------------------------------------------------------------------------------------------- variables


def test_a_declared_variable_counts_and_its_value_is_nowhere(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGION", "very-secret-north")
    build(workspace, 'env=["REGION", "UNSET_ONE"]')

    monkeypatch.setenv("REGION", "very-secret-south")
    assert reasons(workspace.project().plan()) == [("env_changed", "environment: REGION")]
    monkeypatch.delenv("REGION")
    assert reasons(workspace.project().plan()) == [("env_changed", "environment: REGION")]
    assert workspace.materialize().ok
    monkeypatch.setenv("REGION", "very-secret-north")
    assert [step.asset for step in workspace.project().plan().link] == ["rates"]
    state = workspace.root / ".assetflow"
    assert not [path for path in state.rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()]
    assert (state / "salt").stat().st_mode & 0o777 == 0o600


def test_two_stores_have_different_digests_of_one_value(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "north")
    build(workspace, 'env="REGION"')
    first = workspace.project().plan()["rates"].spec.env_vars
    (workspace.root / ".assetflow" / "salt").unlink()

    assert reasons(workspace.project().plan()) == [("env_changed", "environment: REGION")], "rather run again"
    assert workspace.materialize().ok
    assert workspace.project().plan().is_empty
    assert workspace.project().plan()["rates"].spec.env_vars != first


def test_no_salt_is_made_where_nothing_needs_one(workspace: Workspace) -> None:
    build(workspace, "")
    assert not (workspace.root / ".assetflow" / "salt").exists()


# ------------------------------------------------------------------------------------------------- declared versions


def test_a_declared_version_stands_for_the_code(workspace: Workspace) -> None:
    build(workspace, 'code_version="1"')

    workspace.edit('{"rate": 1}', '{"rate": 2}')
    assert workspace.project().plan().is_empty, "whatever was edited"
    workspace.edit('code_version="1"', 'code_version="2"')
    assert reasons(workspace.project().plan()) == [("code_changed", "code version: `1` → `2`")]
    assert workspace.outcomes() == {"rates": "materialized", "report": "unchanged"}
    workspace.edit('code_version="2"', 'code_version="1"')
    assert [step.asset for step in workspace.project().plan().link] == ["rates", "report"]
    workspace.edit('code_version="1"', "")
    assert reasons(workspace.project().plan()) == [("code_changed", "code version: `2` → the code itself")]


# -------------------------------------------------------------------------------------------------------------- cues


def test_a_cue_leaves_out_the_code(workspace: Workspace) -> None:
    build(workspace, "cue=Cue(code=False)")
    workspace.edit('{"rate": 1}', '{"rate": 2}')
    assert workspace.project().plan().is_empty


def test_a_cue_that_says_always_runs_every_time_and_is_cut_off_below(workspace: Workspace) -> None:
    workspace.assets(project_of('cue="always"'))
    assert workspace.materialize().ok
    for _ in range(2):
        plan = workspace.project().plan()
        assert reasons(plan) == [("expired", "runs every time: its cue is `always`")]
        assert [step.asset for step in plan.maybe] == ["report"]
        assert workspace.outcomes() == {"rates": "unchanged", "report": "cut_off"}


def test_a_cue_that_says_never_runs_only_what_is_missing_lost_or_forced(workspace: Workspace) -> None:
    build(workspace, 'cue="never"')
    workspace.edit('{"rate": 1}', '{"rate": 2}')
    assert workspace.project().plan().is_empty
    assert [step.asset for step in workspace.project().plan("rates", force=True).run] == ["rates"]


def test_what_a_cue_gives_a_life_runs_again_when_it_is_over(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.assets(project_of('cue=Cue(ttl="1h")'))
    assert workspace.materialize().ok
    made = time.time()
    assert workspace.project().plan(now=made + 3500).is_empty
    late = workspace.project().plan(now=made + 7200)
    assert reasons(late) == [("expired", "made 2 h ago, and counts for 1 h")]
    assert [step.asset for step in late.maybe] == ["report"]
    assert {str(row.spec.key): row.state for row in workspace.project().status(now=made + 7200)}["rates"] == "stale"
    assert workspace.call("plan") == 0
    assert workspace.is_known("plan")

    monkeypatch.setattr(time, "time", lambda: made + 7200)
    assert not workspace.is_known("plan"), "what was said holds until then"
    assert workspace.outcomes() == {"rates": "unchanged", "report": "cut_off"}
    assert workspace.project().plan().is_empty, "it was made just now"
    assert workspace.outcomes() == {}


def test_what_was_made_too_long_ago_is_not_linked(workspace: Workspace) -> None:
    workspace.assets(project_of('cue=Cue(ttl="1h")'))
    assert workspace.materialize().ok
    workspace.edit('{"rate": 1}', '{"rate": 2}')
    assert workspace.materialize().ok
    workspace.edit('{"rate": 2}', '{"rate": 1}')
    assert [step.asset for step in workspace.project().plan("rates").link] == ["rates"]
    assert [step.asset for step in workspace.project().plan("rates", now=time.time() + 7200).run] == ["rates"]


def test_a_cue_that_does_not_exist_is_refused(workspace: Workspace) -> None:
    workspace.assets(project_of('cue="sometimes"'))
    with pytest.raises(ProjectLoadError, match="a cue is thorough, always or never, not `sometimes`"):
        workspace.project()


# ---------------------------------------------------------------------------------------------------------- packages


def test_a_package_policy_that_does_not_exist_is_refused(workspace: Workspace) -> None:
    workspace.assets(project_of('packages={"pandas": "exakt"}'))
    with pytest.raises(ProjectLoadError, match="packages='exakt' of `pandas` is not known"):
        workspace.project()


def test_policies_of_the_asset_come_before_those_of_the_group_and_of_the_project(workspace: Workspace) -> None:
    workspace.assets(
        project_of('packages={"pandas": "exact"}, group="slow"'),
        '[defaults]\npackages = "minor"\n[groups.slow]\npackages = { pandas = "ignore", numpy = "ignore" }\n',
    )
    specs = workspace.project().graph.specs
    assert specs[AssetKey("rates")].package_policy == {"*": "minor", "numpy": "ignore", "pandas": "exact"}
    assert specs[AssetKey("report")].package_policy == {"*": "minor"}
