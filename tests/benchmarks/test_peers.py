"""The benchmark that compares with a plain script and with other tools: what it makes, checks, and writes down."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import report, works
from benchmarks.peers.environments import Environments
from benchmarks.peers.figures import Figure, Turn, in_turns
from benchmarks.peers.graphs import Graph, layered, tiny_values
from benchmarks.peers.processes import Command, ProcessFailed, Took, run
from benchmarks.peers.tools.base import Tool
from benchmarks.peers.tools.floor import Floor
from benchmarks.peers.tools.flow import Assetflow

ROOT = Path(__file__).resolve().parents[2]


def bench(folder: Path, *tools: Tool) -> works.Bench:
    environments = Environments(folder / "envs")
    return works.Bench(folder / "case", tools, {}, 1, False, lambda _: None, environments)


def python(folder: Path, text: str) -> Command:
    return Command((sys.executable, "-c", text), folder)


class TestWhatToolsAreGiven:
    def test_the_bodies_in_python_and_in_sql_make_the_values_that_are_expected(self) -> None:
        import duckdb
        import pandas as pd

        graph = layered(30).edited("t0_3", 77)
        frames: dict[str, Any] = {}
        tables = duckdb.connect()
        for node in graph.nodes:
            names: dict[str, Any] = {"pd": pd}
            text = f"def made({', '.join(node.reads)}):\n    {node.body}"
            exec(text, names)
            frames[node.name] = names["made"](*[frames[name] for name in node.reads])
            tables.execute(f"create table {node.name} as {node.query(str)}")

        expected = tiny_values(graph)
        queries = {name: f"select value from {name} order by id" for name in frames}

        assert {name: frame["value"].tolist() for name, frame in frames.items()} == expected
        assert {name: [row[0] for row in tables.sql(text).fetchall()] for name, text in queries.items()} == expected

    def test_what_an_edit_makes_stale_is_all_that_is_made_of_it(self) -> None:
        graph = layered(15)

        assert graph.affected("t1_0") == ["t1_0"]
        assert layered(10).affected("t0_0") == ["t0_0", "t1_0", "t1_3", "t1_4"]
        assert tiny_values(graph.edited("t0_0", 5))["t0_1"] == tiny_values(graph)["t0_1"]


class TestProcesses:
    def test_the_memory_of_the_benchmark_is_not_counted_as_that_of_what_it_starts(self, tmp_path: Path) -> None:
        ballast = bytearray(300 << 20)
        ballast[::4096] = b"1" * len(ballast[::4096])

        assert run(python(tmp_path, "pass")).peak_mib < 150

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to another process")
    def test_children_that_nobody_waited_for_are_counted(self, tmp_path: Path) -> None:
        child = "block = bytearray(200 << 20); block[::4096] = b'1' * len(block[::4096])"
        text = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)"

        assert run(python(tmp_path, text)).peak_mib > 150

    def test_a_process_that_fails_has_no_figure_but_its_last_words(self, tmp_path: Path) -> None:
        with pytest.raises(ProcessFailed, match=r"exit code 3: that is why"):
            run(python(tmp_path, "print('that is why'); raise SystemExit(3)"))

    def test_a_process_that_does_not_end_is_ended(self, tmp_path: Path) -> None:
        with pytest.raises(ProcessFailed, match=r"not done after 1 s"):
            run(python(tmp_path, "import threading; threading.Event().wait()"), timeout_s=1)


class Wrong(Floor):
    """A script that says all is well, and left one table as it should not be."""

    def __init__(self, environments: Environments) -> None:
        super().__init__(environments)
        self.name = "wrong"

    def lay(self, root: Path, graph: Graph) -> None:
        super().lay(root, graph.edited("t0_1", 99))


class Failing(Floor):
    def __init__(self, environments: Environments) -> None:
        super().__init__(environments)
        self.name = "failing"

    def make(self, root: Path) -> Command:
        return python(root, "raise SystemExit('it cannot')")


class TestWhatCounts:
    def test_what_is_not_done_in_time_says_how_much_longer_than_its_base_it_took(self, tmp_path: Path) -> None:
        def turn(tool: str, text: str, timeout_s: float) -> Turn:
            return Turn(tool, lambda: python(tmp_path, text), lambda: None, "floor", timeout_s=timeout_s)

        turns = [turn("floor", "pass", 60), turn("sleeping", "import time; time.sleep(600)", 1)]
        floor, sleeping = in_turns("tiny", "everything", 5, turns, 1, lambda _: None)

        assert (len(floor.samples), sleeping.samples) == (1, [])
        found = re.match(r"more than ([\d.]+) x floor, not done after 1 s", sleeping.error)
        assert found is not None
        assert float(found[1]) == pytest.approx(1 / floor.samples[0].wall_s, rel=0.01)

    def test_what_fails_or_leaves_something_wrong_is_named_and_has_no_samples(self, tmp_path: Path) -> None:
        environments = Environments(tmp_path)
        tools = [kind(environments) for kind in (Floor, Wrong, Failing)]

        floor, wrong, failing = works.tiny(bench(tmp_path, *tools), 5)

        assert (floor.error, len(floor.samples), floor.made) == ("", 1, 5)
        assert (wrong.samples, failing.samples) == ([], [])
        assert "1 of 5 outputs are missing or wrong, such as t0_1" in wrong.error
        assert failing.error.startswith("exit code 1: it cannot")

    def test_a_tool_that_is_not_installed_is_named(self, tmp_path: Path) -> None:
        ours = bench(tmp_path, Floor(Environments(tmp_path)))
        ours.absent["floor"] = "not installed: no such version"

        assert [one.error for one in works.tiny(ours, 5)] == ["not installed: no such version"]

    def test_ratios_are_of_the_same_round(self) -> None:
        base = Figure("tiny", "everything", 10, "floor", "floor", samples=[Took(1, 1, 10), Took(10, 10, 10)])
        ours = Figure("tiny", "everything", 10, "ours", "floor", samples=[Took(2, 3, 10), Took(20, 50, 10)])

        found = report.as_json([base, ours])[1]

        assert found["times_wall"] == {"median": 2, "min": 2, "max": 2}
        assert found["times_cpu"] == {"median": 4, "min": 3, "max": 5}

    def test_a_size_that_was_left_out_has_an_estimate_that_says_what_it_is(self) -> None:
        figures = [Figure("tiny", "everything", size, "slow", "slow", samples=[Took(size, 1, 1)]) for size in (10, 100)]
        figures.append(
            Figure("tiny", "everything", 1000, "slow", "slow", error="left out: takes part up to 100 assets")
        )

        text = report.table(report.as_json(figures))

        assert (
            "left out: takes part up to 100 assets; by what each asset more took from 10 to 100: about 1e+03 s" in text
        )


@pytest.mark.end_to_end
def test_assetflow_makes_what_the_script_makes_and_the_figures_are_written_down(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--only", "assetflow-threads", "--parts", "tiny,frames", "--sizes", "5"]
    arguments += ["--rows", "1000", "--rounds", "1", "--no-warm", "--json", str(file), "--envs", str(tmp_path / "envs")]

    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "peers" / "measure.py"), *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    figures = {(one["case"], one["tool"]): one for one in json.loads(file.read_text())["figures"]}
    cases = ("everything", "chain", "diamond")
    assert set(figures) == {(case, tool) for case in cases for tool in ("floor", "assetflow-threads")}
    assert [one["error"] for one in figures.values()] == [""] * 6
    assert [one["made"] for one in figures.values()] == [5] * 6
    assert all(one["wall_s"]["median"] > 0 and one["times_cpu"]["median"] > 0 for one in figures.values())
    assert all(one["peak_mib"]["max"] > 10 for one in figures.values())
    assert "assetflow-threads (floor)" in done.stdout


def test_a_change_is_also_told_without_its_part_in_imports_of_the_modules(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "envs")
    tools = bench(tmp_path, Floor(environments), Assetflow(environments, "threads"))

    figures = [one for found in works.changes(tools, 10, ["leaf"]) for one in found]

    assert [one.error for one in figures] == [""] * len(figures)
    by_tool = {one.tool: one.samples[0] for one in figures if one.samples}
    assert [*by_tool] == ["floor", "assetflow-threads", "imports of floor", "imports of assetflow-threads"]
    (beside,) = (one for one in figures if one.facts)
    own, script = by_tool["assetflow-threads"], by_tool["floor"]
    idle, imports = by_tool["imports of floor"], by_tool["imports of assetflow-threads"]
    assert beside.facts == {
        "assetflow-threads, wall": (own.wall_s - script.wall_s + idle.wall_s) / imports.wall_s,
        "assetflow-threads, CPU": (own.cpu_s - script.cpu_s + idle.cpu_s) / imports.cpu_s,
    }
    assert "leaf, without the part, in imports of its modules, 10" in report.table(report.as_json(figures))
