"""What user code prints and logs lands in the log of its attempt, and never on our standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

Executor = pytest.mark.parametrize("executor", ["inline", "threads"])


def log_of(workspace: Workspace, key: str) -> str:
    (log,) = workspace.project().logs(key=key)
    return log.text


@Executor
def test_prints_and_log_lines_are_in_the_log_and_nowhere_else(
    workspace: Workspace, executor: str, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.assets("""
        import logging
        import sys

        @asset
        def loud(context: Context) -> int:
            print("to stdout", "ä")
            print("to stderr", file=sys.stderr)
            sys.stdout.write("raw\\n")
            context.log.info("base %s", "GBP")
            logging.getLogger("library").warning("careful")
            return 1
        """)

    workspace.materialize(executor=executor)

    text = log_of(workspace, "loud")
    for line in ("to stdout ä", "to stderr", "raw", "INFO    base GBP", "WARNING careful"):
        assert line in text, line
    assert capfd.readouterr() == ("", "")


def test_two_assets_at_once_have_logs_of_their_own(workspace: Workspace) -> None:
    workspace.assets("""
        together = threading.Barrier(2, timeout=30)

        @asset
        def one() -> int:
            together.wait()
            for _ in range(100):
                print("this is one")
            return 1

        @asset
        def two() -> int:
            together.wait()
            for _ in range(100):
                print("this is two")
            return 2
        """)

    workspace.materialize(executor="threads", workers=2).raise_for_status()

    assert log_of(workspace, "one") == "this is one\n" * 100
    assert log_of(workspace, "two") == "this is two\n" * 100


@Executor
def test_threads_that_a_function_starts_write_to_its_log(
    workspace: Workspace, executor: str, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.assets("""
        import logging
        from concurrent.futures import ThreadPoolExecutor

        def fetch(page):
            print("page", page)
            logging.getLogger("client").warning("slow page %s", page)
            return page

        @asset
        def pages() -> list:
            with ThreadPoolExecutor(2) as pool:
                return list(pool.map(fetch, [1, 2, 3]))

        @asset
        def other() -> int:
            thread = threading.Thread(target=print, args=("this is the other",))
            thread.start()
            thread.join()
            return 1
        """)

    workspace.materialize(executor=executor).raise_for_status()

    assert sorted(line for line in log_of(workspace, "pages").splitlines() if "slow" not in line) == [
        "page 1", "page 2", "page 3",
    ]  # fmt: skip
    assert log_of(workspace, "pages").count("WARNING slow page") == 3
    assert log_of(workspace, "other") == "this is the other\n"
    assert capfd.readouterr() == ("", "")


def test_a_thread_that_outlives_its_step_may_go_on_printing(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.assets("""
        go, gone = threading.Event(), threading.Event()

        def late():
            go.wait(30)
            print("late words")
            gone.set()

        @asset
        def starts() -> int:
            threading.Thread(target=late).start()
            return 1

        @asset
        def waits(starts: int) -> bool:
            go.set()
            return gone.wait(30)
        """)

    workspace.materialize().raise_for_status()

    assert workspace.project().read("waits") is True
    assert capfd.readouterr() == ("", "")
    assert log_of(workspace, "starts") == "late words\n"


def test_the_traceback_of_a_failure_is_in_the_log(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def bad() -> int:
            print("before")
            raise ValueError("no luck")
        """)

    workspace.materialize()

    text = log_of(workspace, "bad")
    assert text.startswith("before\nTraceback (most recent call last):\n")
    assert text.endswith("ValueError: no luck\n")


def test_the_log_of_a_failure_says_what_was_read(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def rows() -> pa.Table:
            return pa.table({"n": [1, 2, 3]})

        @asset
        def config() -> dict:
            return {}

        @asset
        def bad(rows: pa.Table, config: dict) -> int:
            raise ValueError("no luck")
        """)

    result = workspace.materialize()

    assert log_of(workspace, "bad").endswith("ValueError: no luck\ninput  rows@1 · 3 rows\ninput  config@1\n")
    (failed,) = [one for one in result.to_json()["outcomes"] if one["state"] == "failed"]  # type: ignore[attr-defined]
    assert failed["inputs"] == [
        {"parameter": "rows", "asset": "rows", "version": 1, "rows": 3},
        {"parameter": "config", "asset": "config", "version": 1, "rows": None},
    ]


def test_standard_output_is_itself_again_after_the_run(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    print('inside')\n    return 1\n")

    workspace.materialize()
    print("after")  # noqa: T201

    assert capfd.readouterr().out == "after\n"


def test_what_a_check_prints_is_in_the_log_of_the_asset(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def one() -> int:
            return 1

        @check(one)
        def positive(one: int) -> bool:
            print("looking at", one)
            return one > 0
        """)

    workspace.materialize()

    assert log_of(workspace, "one") == "looking at 1\n"


def test_all_outputs_of_a_function_have_its_log(workspace: Workspace) -> None:
    workspace.assets("""
        @assets(Out("left", checks=[foreign_key("n", "known")]), "right")
        def both() -> tuple:
            print("making both")
            return pa.table({"n": [1]}), 2

        @asset
        def known() -> pa.Table:
            return pa.table({"n": [1]})
        """)

    workspace.materialize()

    assert log_of(workspace, "left") == "making both\n"
    assert log_of(workspace, "right") == "making both\n"
    assert [log.text for log in workspace.project().logs() if log.text] == ["making both\n"]


@Executor
def test_the_context_says_what_runs(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        @asset(key="marts.told")
        def told(context: Context) -> dict:
            return {"key": context.asset_key, "run": context.run_id, "env": context.env, "attempt": context.attempt}
        """)
    workspace.materialize(executor=executor)
    workspace.edit('"key": context', '"KEY": context')

    workspace.materialize(executor=executor, env="staging")

    assert workspace.project("staging").read("told") == {"KEY": "marts.told", "run": 2, "env": "staging", "attempt": 1}


@Executor
def test_an_asset_does_not_fail_because_its_words_cannot_be_kept(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        import logging

        @asset
        def loud(context: Context) -> int:
            print("hello")
            context.log.info("once more")
            return 1
        """)
    (workspace.root / ".assetflow" / "runs" / "1" / "loud.1.log").mkdir(parents=True)

    workspace.materialize(executor=executor).raise_for_status()

    assert workspace.project().read("loud") == 1


def test_what_failed_is_told_though_there_can_be_no_logs_at_all(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def loud() -> int:
            print("hello")
            raise ValueError("boom")
        """)
    (workspace.root / ".assetflow").mkdir()
    (workspace.root / ".assetflow" / "runs").touch()

    result = workspace.materialize()

    assert [one.error.message for one in result if one.error is not None] == ["boom"]
    assert workspace.project().logs(key="loud") == ()
