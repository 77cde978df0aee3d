from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from assetflow.cli import completing
from assetflow.cli.completing import SCRIPTS, candidates
from assetflow.cli.verbs import FORMATS, SHOWN
from assetflow.plan.selection_words import ATTEMPTS
from assetflow.run import session

SHELLS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_scripts_are_well_formed(cli, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(cli("completion", shell).out)

    assert subprocess.run([*SHELLS[shell], str(script)], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("assetflow pl", ["plan"]),
        ("assetflow ", sorted(verb.name for verb in SHOWN)),
        ("assetflow plan to", ["total"]),
        ("assetflow plan +to", ["+total"]),
        ("assetflow plan 2+to", ["2+total"]),
        ("assetflow plan '(dou", ["(doubled"]),
        ("assetflow -C . --json show d", ["doubled"]),
        ("assetflow mat doubled to", ["total"]),
        ("assetflow ls is:st", ["is:stale"]),
        ("assetflow ls tag:", ["tag:tier"]),
        ("assetflow ls owner:a", ["owner:ann@example.com"]),
        ("assetflow ls ow", ["owner:"]),
        ("assetflow ls --so", ["--sort"]),
        ("assetflow ls --sort a", ["age"]),
        ("assetflow ls --sort=s", ["--sort=size"]),
        ("assetflow ls --format ", sorted(FORMATS)),
        ("assetflow lineage --format m", ["mermaid"]),
        ("assetflow --color a", ["always", "auto"]),
        ("assetflow explain AF02", ["AF021", "AF022", "AF023", "AF024"]),
        ("assetflow completion z", ["zsh"]),
        ("assetflow runs s", ["show"]),
        ("assetflow runs show ", ["1"]),
        ("assetflow runs show 1 ", []),
        ("assetflow runs c", ["cancel", "compare"]),
        ("assetflow runs cancel ", []),
        ("assetflow ls is:re", ["is:reusable"]),
        ("assetflow ls last:", [f"last:{one}" for one in sorted(ATTEMPTS)]),
        ("assetflow mat --executor ", ["inline", "processes", "threads"]),
        ("assetflow mat --executor=t", ["--executor=threads"]),
        ("assetflow why total --against ", ["HEAD~1", "dev", "run:1", "total@1"]),
        ("assetflow plan --against ", ["dev", "run:1"]),
        ("assetflow plan --against=r", ["--against=run:1"]),
        ("assetflow -e ", ["dev"]),
        ("assetflow plan -e d", ["dev"]),
        ("assetflow preview total@", ["total@1"]),
        ("assetflow preview nope@", []),
        ("assetflow -C ", []),
        ("assetflow lineage -o ", []),
        ("assetflow nope ", []),
    ],
)
def test_what_could_stand_at_the_end(built: Path, line: str, expected: list[str]) -> None:
    assert candidates(line) == expected


def test_saved_selections_are_offered_behind_a_colon(project: Path) -> None:
    file = project / "assetflow.toml"
    file.write_text(file.read_text() + 'weekly = "doubled"\n')

    assert candidates("assetflow plan :") == [":nightly", ":weekly"]
    assert candidates("assetflow mat 'doubled +:w") == ["doubled +:weekly"]


def test_executors_are_those_that_there_are() -> None:
    assert set(completing.EXECUTORS) == set(session.EXECUTORS)


def test_jobs_are_offered_where_one_is_wanted(project: Path) -> None:
    file = project / "assetflow.toml"
    file.write_text(file.read_text() + '\n[jobs.nightly]\ncron = "@daily"\n[jobs.hourly]\ncron = "@hourly"\n')

    assert candidates("assetflow schedule pa") == ["pause"]
    assert candidates("assetflow schedule pause ") == ["hourly", "nightly"]
    assert candidates("assetflow schedule ls ") == []
    assert candidates("assetflow daemon ") == ["run", "status", "stop"]
    assert candidates("assetflow sensor ti") == ["tick"]
    assert candidates("assetflow sensor tick --dry-run ") == []


def test_assets_of_a_manifest_that_is_out_of_date_are_offered(project: Path) -> None:
    (project / "assets.py").write_text("raise RuntimeError('user code was imported')")

    assert candidates("assetflow plan d") == ["doubled"]


def test_no_project_is_no_error(tmp_path: Path, monkeypatch, cli) -> None:
    monkeypatch.chdir(tmp_path)

    assert cli("__complete", "bash", "assetflow plan ").code == 0
    assert "\ntotal\n" not in cli("__complete", "bash", "assetflow plan ").out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [("assetflow pl", "plan"), ("assetflow plan +to", "+total"), ("assetflow ls is:st", "stale")],
)
def test_completion_works_in_bash(built: Path, tmp_path: Path, cli, line: str, expected: str) -> None:
    program = tmp_path / "assetflow"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m assetflow "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = f"""
        {cli("completion", "bash").out}
        compopt() {{ :; }}
        COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=({line}) COMP_CWORD=1
        _assetflow
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == (f"{expected}\n", "")
