"""Files that functions open without declaring them: seen while they run, and compared ever after."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from assetflow.errors import PlanMoved
from assetflow.load.saves import Saves
from assetflow.plan.planner import Plan
from assetflow.plan.saved import read_saved_plan, saved_plan
from tests.unit.conftest import Workspace

SHOP = """
HERE = Path(__file__).parent

@asset
def rates() -> Rows:
    ran("rates")
    name, factor = (HERE / "data" / "rates.csv").read_text().strip().split(",")
    return [{"name": name, "factor": int(factor)}]

@asset
def names() -> Rows:
    ran("names")
    return [{"name": (HERE / "data/names.txt").read_text()}]

@asset
def report(rates: Rows) -> int:
    ran("report")
    return sum(int(row["factor"]) for row in rates)
"""


def reasons(plan: Plan, key: str = "rates") -> list[tuple[str, str]]:
    return [(reason.code, reason.text) for reason in plan[key].reasons]


def seen(workspace: Workspace, key: str = "rates") -> dict[str, str]:
    """The files that the current version of an asset is known to depend on."""
    head = workspace.project().plan()[key].head
    assert head is not None
    return dict(head.trace.discovered.files)


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    workspace.file("data/rates.csv", "EUR,1\n")
    workspace.file("data/names.txt", "a")
    assert workspace.materialize().ok
    assert sorted(workspace.ran()) == ["names", "rates", "report"]
    assert workspace.project().plan().is_empty
    return workspace


def test_an_edit_of_a_file_makes_those_stale_that_opened_it(shop: Workspace) -> None:
    file = shop.file("data/rates.csv", "EUR,2\n")

    plan = shop.project().plan()
    assert [step.asset for step in plan.run] == ["rates"]
    assert reasons(plan) == [("discovered_file", "reads data/rates.csv, which changed (seen in run #1)")]
    assert [cause.words for cause in plan.root_causes] == ["new content of data/rates.csv"]
    assert shop.states() == {"rates": "stale", "names": "current", "report": "maybe"}
    assert shop.project().select("why:discovered_file") == ("rates",)
    assert shop.outcomes() == {"rates": "materialized", "report": "materialized"}
    assert shop.ran() == ["rates", "report"]
    assert shop.project().plan().is_empty

    file.write_text("EUR,1\n")
    plan = shop.project().plan()
    assert [(step.asset, step.link and step.link.version.number) for step in plan.link] == [("rates", 1), ("report", 1)]
    assert shop.outcomes() == {"rates": "linked", "report": "linked"}
    assert shop.ran() == [], "the result of the file as it was is there"
    assert shop.project().plan().is_empty
    assert shop.project().read("report") == 1


def test_the_same_content_and_files_beside_it_are_nothing(shop: Workspace) -> None:
    shop.file("data/rates.csv", "EUR,1\n")
    shop.file("data/other.csv", "EUR,2\n")
    shop.file("rates.csv", "EUR,2\n")
    assert shop.project().plan().is_empty


def test_equal_results_of_another_file_are_no_chance(shop: Workspace) -> None:
    """An asset whose content depends on a file that it opens is no asset that gives now this and now that."""
    shop.file("data/rates.csv", "EUR,2\n")
    shop.materialize()
    assert [one.word for one in shop.project().plan()["rates"].modifiers] == []


def test_a_file_that_goes_and_comes_counts(shop: Workspace) -> None:
    file = shop.root / "data" / "rates.csv"
    file.unlink()
    plan = shop.project().plan()
    assert reasons(plan) == [("discovered_file", "reads data/rates.csv, which is gone (seen in run #1)")]
    assert shop.outcomes()["rates"] == "failed"
    assert seen(shop) == dict(seen(shop)), "what failed recorded nothing"
    file.write_text("EUR,1\n")
    assert shop.project().plan().is_empty


def test_a_file_that_was_not_there_counts_when_it_comes(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def rates() -> int:
            ran("rates")
            try:
                with open(Path(__file__).parent / "extra.txt") as file:
                    return int(file.read())
            except FileNotFoundError:
                return 0
    """)
    assert workspace.materialize().ok
    assert seen(workspace) == {"extra.txt": "absent"}
    assert workspace.project().plan().is_empty

    workspace.file("extra.txt", "5")
    assert reasons(workspace.project().plan()) == [
        ("discovered_file", "reads extra.txt, which was not there (seen in run #1)")
    ]
    assert workspace.materialize().ok
    assert workspace.project().read("rates") == 5


def test_what_a_step_writes_is_its_own(workspace: Workspace) -> None:
    workspace.assets("""
        import os, shutil
        HERE = Path(__file__).parent

        @asset
        def rates() -> list:
            ran("rates")
            (HERE / "scratch.txt").write_text("a")
            (HERE / "made").mkdir(exist_ok=True)
            (HERE / "moved.new").write_text("b")
            os.replace(HERE / "moved.new", HERE / "moved.txt")
            shutil.copyfile(HERE / "given.txt", HERE / "copy.txt")
            texts = [(HERE / name).read_text() for name in ("scratch.txt", "moved.txt", "copy.txt")]
            pa.OSFile(str(HERE / "made" / "native.bin"), "w").close()
            return [*texts, (HERE / "made" / "native.bin").read_bytes().decode()]
    """)
    workspace.file("given.txt", "c")
    assert workspace.materialize().ok

    assert list(seen(workspace)) == ["given.txt"]
    assert workspace.project().plan().is_empty
    workspace.file("scratch.txt", "else")
    assert workspace.project().plan().is_empty
    assert workspace.ran() == ["rates"]


def test_what_is_declared_and_what_is_assetflows_own_is_no_discovery(workspace: Workspace) -> None:
    workspace.assets(
        """
        import linecache, traceback
        HERE = Path(__file__).parent
        prices = source("prices", path="prices.csv", format="file")

        @asset(files=["a.txt", "globbed/*.txt", "folder"])
        def rates(prices: Path) -> int:
            linecache.clearcache()
            traceback.format_stack()  # opens our code to show its lines
            for name in ("a.txt", "globbed/b.txt", "folder/deep/c.txt", "assetflow.toml"):
                (HERE / name).read_text()
            for path in (HERE / ".assetflow").rglob("*.json"):
                path.read_text()
            (HERE / "prices.csv").read_text()
            prices.read_text()
            (HERE / ".venv/lib/site-packages/zones.txt").read_text()
            Path("/etc/hostname").exists() and Path("/etc/hostname").read_text()
            return 1
        """
    )
    for name in ("a.txt", "globbed/b.txt", "folder/deep/c.txt", "prices.csv", ".venv/lib/site-packages/zones.txt"):
        workspace.file(name, "x")
    result = workspace.materialize()
    assert result.ok, result["rates"].error
    assert list(seen(workspace)) == ["assetflow.toml"]


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_threads_of_a_step_belong_to_it(workspace: Workspace, executor: str) -> None:
    """Two steps run at the same time, each reads in a thread of its own and in a pool, and another reads in between."""
    workspace.assets(
        """
        from concurrent.futures import ThreadPoolExecutor
        HERE = Path(__file__).parent
        meeting = threading.Barrier(1 if SOLO else 2, timeout=20)

        def read(name: str) -> str:
            meeting.wait()
            found = []
            thread = threading.Thread(target=lambda: found.append((HERE / f"{name}-thread.txt").read_text()))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(2) as pool:
                found += pool.map(lambda path: path.read_text(), [HERE / f"{name}-pool-{n}.txt" for n in (1, 2)])
            meeting.wait()
            return "".join([*found, (HERE / f"{name}-own.txt").read_text()])

        @asset
        def one() -> str:
            return read("one")

        @asset
        def two() -> str:
            return read("two")
    """.replace("SOLO", str(executor == "inline"))
    )
    parts = ("thread", "pool-1", "pool-2", "own")
    for name in ("one", "two"):
        for part in parts:
            workspace.file(f"{name}-{part}.txt", part)
    assert workspace.materialize(executor=executor, workers=2).ok

    for name in ("one", "two"):
        assert sorted(seen(workspace, name)) == sorted(f"{name}-{part}.txt" for part in parts)
    workspace.file("two-thread.txt", "new")
    assert [step.asset for step in workspace.project().plan().run] == ["two"]


def test_a_pool_that_nobody_owns_reads_for_all_that_run(workspace: Workspace) -> None:
    workspace.assets("""
        from concurrent.futures import ThreadPoolExecutor
        HERE = Path(__file__).parent
        POOL = ThreadPoolExecutor(1)

        @asset
        def one() -> str:
            return POOL.submit((HERE / "one.txt").read_text).result()

        @asset(deps=["one"])
        def two() -> str:
            return POOL.submit((HERE / "two.txt").read_text).result()
    """)
    workspace.file("one.txt", "1")
    workspace.file("two.txt", "2")
    assert workspace.materialize(executor="threads", workers=2).ok
    assert list(seen(workspace, "two")) == ["two.txt"], "though its thread was started by a step that is over"


def test_what_changes_while_it_is_read_equals_nothing_afterwards(workspace: Workspace) -> None:
    workspace.assets("""
        HERE = Path(__file__).parent

        def somebody_else(text):
            import subprocess, sys
            code = f"from pathlib import Path; Path({str(HERE / 'rates.csv')!r}).write_text({text!r})"
            subprocess.run([sys.executable, "-c", code], check=True)

        @asset
        def rates() -> str:
            ran("rates")
            text = (HERE / "rates.csv").read_text()
            if text == "old":
                somebody_else("new")
            return text
    """)
    workspace.file("rates.csv", "old")
    assert workspace.materialize().ok
    assert seen(workspace) == {"rates.csv": "unknown"}
    assert reasons(workspace.project().plan()) == [
        ("discovered_file", "reads rates.csv, which changed while it ran (seen in run #1)")
    ]
    assert workspace.outcomes() == {"rates": "materialized"}
    assert workspace.project().plan().is_empty
    workspace.file("rates.csv", "old")
    assert [step.asset for step in workspace.project().plan().run] == ["rates"], "what was unknown is never linked"


def test_relative_paths_and_links_mean_the_files_of_the_project(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = workspace.root.with_name(f"{workspace.root.name}-link")
    link.symlink_to(workspace.root)
    try:
        workspace.assets("""
            import os

            @asset
            def rates() -> str:
                handle = os.open("data/../data/one.csv", os.O_RDONLY)
                os.close(handle)
                with open(b"data/two.csv") as file, open(Path("data") / "away.csv") as other:
                    return file.read() + other.read()
        """)
        for name in ("one", "two"):
            workspace.file(f"data/{name}.csv", name)
        with TemporaryDirectory() as elsewhere:
            (Path(elsewhere) / "away.csv").write_text("1")
            (workspace.root / "data" / "away.csv").symlink_to(Path(elsewhere) / "away.csv")
            monkeypatch.chdir(workspace.root)
            assert Workspace(link).materialize().ok
            assert sorted(seen(Workspace(link))) == ["data/away.csv", "data/one.csv", "data/two.csv"]
            (Path(elsewhere) / "away.csv").write_text("2")
            assert [step.asset for step in Workspace(link).project().plan().run] == ["rates"]
    finally:
        link.unlink()


def test_a_generator_is_watched_while_it_is_written(workspace: Workspace) -> None:
    workspace.assets("""
        def batches():
            yield pa.RecordBatch.from_pylist([{"text": (Path(__file__).parent / "rates.csv").read_text()}])

        @asset
        def rates() -> pa.RecordBatchReader:
            return pa.RecordBatchReader.from_batches(pa.schema({"text": pa.string()}), batches())
    """)
    workspace.file("rates.csv", "1")
    assert workspace.materialize().ok
    assert list(seen(workspace)) == ["rates.csv"]


def test_outputs_of_one_function_depend_on_the_same(workspace: Workspace) -> None:
    workspace.assets("""
        @assets("left", "right")
        def both() -> tuple[int, int]:
            ran("both")
            return int((Path(__file__).parent / "n.txt").read_text()), 1
    """)
    workspace.file("n.txt", "1")
    assert workspace.materialize().ok
    workspace.file("n.txt", "2")
    assert [step.asset for step in workspace.project().plan().run] == ["left", "right"]
    assert workspace.outcomes() == {"left": "materialized", "right": "unchanged"}
    assert workspace.project().plan().is_empty


# ------------------------------------------------------------------------------------------------- what people decide


def test_a_cue_without_files_ignores_them(shop: Workspace) -> None:
    shop.edit("@asset\ndef rates", "@asset(cue=Cue(files=False))\ndef rates")
    shop.materialize()
    shop.file("data/rates.csv", "EUR,2\n")
    assert shop.project().plan().is_empty


def test_the_setting_turns_it_off_and_on(shop: Workspace) -> None:
    shop.file("data/rates.csv", "EUR,2\n")
    shop.file("assetflow.toml", 'modules = ["assets"]\ndiscover = false\n')
    assert shop.project().plan().is_empty
    assert shop.outcomes(force=True)["rates"] == "materialized"
    assert seen(shop) == {}
    shop.file("assetflow.toml", 'modules = ["assets"]\n')
    assert shop.project().plan().is_empty, "of that version nothing was seen"


def test_who_accepts_accepts_the_files_as_they_are(shop: Workspace) -> None:
    file = shop.file("data/rates.csv", "EUR,2\n")
    shop.project().accept("rates", reason="a typo")
    assert shop.project().plan().is_empty
    file.write_text("EUR,3\n")
    assert reasons(shop.project().plan()) == [("discovered_file", "reads data/rates.csv, which changed")]
    shop.project().revoke("rates")
    file.write_text("EUR,2\n")
    assert [step.asset for step in shop.project().plan().run] == ["rates"]


def test_a_saved_plan_is_not_carried_out_when_such_a_file_has_changed_since(shop: Workspace) -> None:
    file = shop.file("data/rates.csv", "EUR,2\n")
    saved = shop.root / "plan.json"
    project = shop.project()
    saved.write_text(json.dumps(saved_plan(project.plan(), force=False, with_upstream=True)))
    file.write_text("EUR,3\n")
    with pytest.raises(PlanMoved, match="out of date") as caught:
        shop.project().materialize(saved=read_saved_plan(saved))
    assert "rates opens files that are not what they were" in caught.value.facts
    file.write_text("EUR,2\n")
    assert shop.project().materialize(saved=read_saved_plan(saved)).ok


def test_watch_looks_at_such_files_too(shop: Workspace) -> None:
    saves = Saves(shop.root, {})
    saves.begin()
    shop.file("data/rates.csv", "EUR,22\n")
    shop.file("data/other.csv", "x")
    assert saves.changed() == ["data/rates.csv"]


def test_why_names_the_file(shop: Workspace) -> None:
    shop.file("data/rates.csv", "EUR,2\n")
    found = shop.project().why("report")
    assert [(cause.code, cause.path) for cause in found.causes] == [("discovered_file", ("rates", "report"))]
    evidence = found.causes[0].to_json()["evidence"]
    assert isinstance(evidence, dict)
    assert evidence["file"] == "data/rates.csv"
    assert shop.materialize().ok
    against = shop.project().why("rates", against="1")
    assert [cause.text for cause in against.causes] == ["reads data/rates.csv, which changed (seen in run #1)"]


def test_rollback_goes_to_what_was_seen_then(shop: Workspace) -> None:
    shop.file("data/rates.csv", "EUR,2\n")
    shop.materialize()
    project = shop.project()
    project.rollback("rates", to=1)
    project.unpin("rates")
    assert [step.asset for step in shop.project().plan().link] == ["rates"], "the file is that of version 2"
    shop.file("data/rates.csv", "EUR,1\n")
    assert [step.asset for step in shop.project().plan().link] == ["report"], "the file is that of version 1"


# --------------------------------------------------------------------------------------------------------------- code


PLUGINS = """
import pydoc
import helpers

NAME = "north"

@asset
def rates() -> int:
    ran("rates")
    return pydoc.locate(f"plugins.{NAME}.rate")() + helpers.one()

@asset
def plain() -> int:
    ran("plain")
    return helpers.one()
"""


@pytest.fixture
def plugged(workspace: Workspace) -> Workspace:
    """A project in which a function runs code by a way that no text shows."""
    workspace.assets(PLUGINS)
    workspace.file("helpers.py", "def one():\n    return 1\n\n\ndef other():\n    return 2\n")
    workspace.file("plugins/__init__.py", "")
    workspace.file("plugins/north.py", "from consts import RATE\n\n\ndef rate():\n    return RATE\n")
    workspace.file("plugins/south.py", "def rate():\n    return 2\n")
    workspace.file("consts.py", "RATE = 5  # a constant\n")
    for file in workspace.root.rglob("*.py"):
        os.utime(file, (1_700_000_000, 1_700_000_000))
    assert workspace.materialize(executor="inline").ok
    workspace.ran()
    return workspace


def code_seen(workspace: Workspace, key: str = "rates") -> list[str]:
    head = workspace.project().plan()[key].head
    assert head is not None
    return [name for name in head.trace.discovered.code if name != "plugins/__init__.py"]


def test_code_that_ran_and_that_no_text_shows_counts_with_what_it_imports(plugged: Workspace) -> None:
    assert code_seen(plugged) == ["consts.py", "plugins/north.py"]
    assert code_seen(plugged, "plain") == []
    assert seen(plugged) == {}
    assert plugged.call("plan") == 0
    assert plugged.is_known("plan")

    plugged.edit("RATE = 5", "RATE = 6", "consts.py")
    assert not plugged.is_known("plan")
    plan = plugged.project().plan()
    assert [step.asset for step in plan.run] == ["rates"]
    assert reasons(plan) == [("discovered_code", "runs consts.py, which changed (seen in run #1)")]
    assert plugged.project().select("changed:code") == ("rates",)

    plugged.edit("RATE = 6  # a constant", "RATE = 5  # another comment", "consts.py")
    assert plugged.project().plan().is_empty, "comments are no part of what it says"
    plugged.edit("return 2", "return 3", "plugins/south.py")
    plugged.edit("return 2", "return 3", "helpers.py")
    assert plugged.project().plan().is_empty, "nobody ran these"


def test_code_counts_as_far_as_the_asset_lets_code_count(plugged: Workspace) -> None:
    plugged.edit("@asset\ndef rates", "@asset(code_version=1)\ndef rates")
    plugged.materialize()
    plugged.edit("RATE = 5", "RATE = 6", "consts.py")
    assert plugged.project().plan().is_empty, "a declared version stands for all code"
    plugged.edit("@asset(code_version=1)", "@asset(cue=Cue(code=False))")
    assert plugged.materialize().ok
    plugged.edit("RATE = 6", "RATE = 7", "consts.py")
    assert plugged.project().plan().is_empty


def test_a_module_that_is_younger_than_the_step_is_not_known(plugged: Workspace) -> None:
    for name in list(sys.modules):
        if name.startswith("plugins"):
            del sys.modules[name]
    later = time.time() + 3600
    os.utime(plugged.root / "plugins" / "north.py", (later, later))
    assert plugged.materialize("rates", force=True, executor="inline").ok
    assert reasons(plugged.project().plan())[0][1].startswith("runs plugins/north.py, which changed while it ran")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 tells only what is imported")
def test_code_of_modules_that_are_there_already_is_seen(plugged: Workspace) -> None:
    plugged.materialize("rates", force=True, executor="inline")
    assert code_seen(plugged) == ["consts.py", "plugins/north.py"]
    plugged.edit("    return helpers.one()", "    return helpers.one() + pydoc.locate('helpers.other')()")
    assert plugged.materialize(executor="inline").ok
    assert code_seen(plugged, "plain") == ["helpers.py"]


def test_text_of_code_that_a_function_reads_is_a_file(workspace: Workspace) -> None:
    workspace.assets("""
        import runpy
        HERE = Path(__file__).parent

        @asset
        def rates() -> int:
            return int((HERE / "rules.py").read_text().count("x")) + runpy.run_path(str(HERE / "script.py"))["y"]
    """)
    workspace.file("rules.py", "x = 1")
    workspace.file("script.py", "y = 1")
    assert workspace.materialize().ok
    assert sorted(seen(workspace)) == ["rules.py", "script.py"]
