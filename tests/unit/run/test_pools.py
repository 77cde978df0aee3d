"""Pools: who waits, who overtakes, who is told, and that slots come back however their holder ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assetflow.catalog.locks import FileLock
from assetflow.errors import ProjectLoadError
from assetflow.model.keys import AssetKey
from assetflow.run.outcome import RunResult, SilentObserver
from assetflow.run.pools import Pools

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

DEADLINE_S = 60.0
POOL = "[pools]\nwarehouse = 1\ndb = 3\n"
MEETING = """
import time

def meets(name, others=()):
    here = Path(__file__).parent
    (here / f"{name}.runs").touch()
    together = sorted(one.stem for one in here.glob("*.runs"))
    ran(f"{name} with {' '.join(one for one in together if one != name) or 'nobody'}")
    deadline = time.monotonic() + 60
    while not all((here / f"{other}.done").exists() for other in others) and time.monotonic() < deadline:
        time.sleep(0.005)
    (here / f"{name}.runs").unlink()
    (here / f"{name}.done").touch()
    return 1
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


class Waits(SilentObserver):
    """Remembers what assets waited for, and does something when one does."""

    def __init__(self, on_wait: Callable[[], object] | None = None) -> None:
        self.told: list[tuple[str, str]] = []
        self._on_wait = on_wait

    def waiting(self, asset: AssetKey, reason: str) -> None:
        self.told.append((asset, reason))
        if self._on_wait is not None:
            self._on_wait()


def test_only_as_many_run_at_once_as_the_pool_has_slots_and_others_overtake(workspace: Workspace) -> None:
    workspace.assets(
        MEETING
        + """
@asset(pool="warehouse")
def a() -> int:
    return meets("a", ["free"])

@asset(pool="warehouse")
def b() -> int:
    return meets("b")

@asset
def free() -> int:
    return meets("free")
""",
        POOL,
    )
    waits = Waits()

    assert workspace.materialize(executor="threads", workers=4, observer=waits).ok

    ran = workspace.ran()  # `a` goes on only when `free`, which comes after `b`, has been there
    assert ran[-1] == "b with nobody"
    assert {line.partition(" ")[0] for line in ran[:2]} == {"a", "free"}
    assert waits.told == [("b", "for pool warehouse (a)")]


def test_weights_count_and_who_wants_much_is_not_passed_by_for_ever(workspace: Workspace) -> None:
    workspace.assets(
        MEETING
        + """
@asset(pool={"db": 2})
def a() -> int:
    return meets("a", ["other"])

@asset(pool={"db": 3})
def b() -> int:
    return meets("b")

@asset(pool="db")
def c() -> int:
    return meets("c")

@asset
def other() -> int:
    return meets("other")
""",
        POOL,
    )

    assert workspace.materialize(executor="threads", workers=4).ok

    ran = workspace.ran()
    # One slot was free while `a` held two, but `b` was there before `c`.
    assert ran[-2:] == ["b with nobody", "c with nobody"]


def test_slots_are_shared_with_runs_of_other_environments(workspace: Workspace) -> None:
    workspace.assets("@asset(pool={'db': 3})\ndef a() -> int:\n    ran('a')\n    return 1\n", POOL)
    project = workspace.project("prod")
    folder = project.settings.state_path / "locks"
    other = Pools(folder, {"db": 3})
    assert other.take("b", {"db": 1}, 41) is None
    waits = Waits(other.close)

    assert project.materialize(observer=waits).ok

    assert waits.told == [("a", "for pool db (run #41)")]
    assert not any(FileLock(folder / f"pool-db-{number}.lock").is_held_by_anyone() for number in range(3))


def test_the_slots_of_a_process_that_was_killed_are_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from assetflow.run.pools import Pools\n"
        "pools = Pools(Path(sys.argv[1]), {'db': 2}); print(pools.take('a', {'db': 2}, 7), flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    mine = Pools(tmp_path, {"db": 2})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "None\n"
            assert mine.take("b", {"db": 1}, 8) == "db"
            assert mine.reason("db") == "for pool db (run #7)"
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    assert mine.take("b", {"db": 1}, 8) is None
    assert mine.holders("db") == ["b"]
    mine.close()


def test_what_cannot_have_all_its_pools_holds_none_of_them(tmp_path: Path) -> None:
    sizes = {"a": 1, "b": 2, "c": 1}
    one, other = Pools(tmp_path, sizes), Pools(tmp_path, sizes)

    assert one.take("x", {"b": 1, "c": 1}, 1) is None
    assert other.take("y", {"c": 1, "b": 1, "a": 1}, 2) == "c"
    assert other.holders("a") == []
    assert other.holders("b") == ["run #1"]
    assert other.take("y", {"a": 1, "b": 1}, 2) is None
    assert one.take("z", {"b": 1}, 1) == "b"
    assert one.give_back("x")
    assert one.take("z", {"b": 1}, 1) is None
    assert not one.give_back("never")
    one.close()
    other.close()


def test_an_asset_that_is_current_waits_for_no_slot(workspace: Workspace) -> None:
    workspace.assets(
        "@asset\ndef top() -> int:\n    return 1\n\n@asset(pool='warehouse')\ndef a(top: int) -> int:\n    return 1\n",
        POOL,
    )
    workspace.materialize()
    held = Pools(workspace.project().settings.state_path / "locks", {"warehouse": 1})
    assert held.take("x", {"warehouse": 1}, 41) is None

    assert workspace.outcomes("top", force=True) == {"top": "unchanged"}
    assert workspace.outcomes() == {}
    held.close()


def test_a_retry_gives_its_slot_back_while_it_waits(workspace: Workspace) -> None:
    workspace.assets(
        """
        @asset(pool="warehouse", retry=Retry(1, delay=0.5))
        def a(context: Context) -> int:
            ran(f"a {context.attempt}")
            if context.attempt == 1:
                raise ValueError
            return 1

        @asset(pool="warehouse")
        def b() -> int:
            ran("b")
            return 1
        """,
        POOL,
    )

    assert workspace.materialize(executor="threads", workers=2).ok

    assert workspace.ran() == ["a 1", "b", "a 2"]


def test_a_run_that_waits_for_slots_stops_when_it_is_told_to(workspace: Workspace) -> None:
    workspace.assets("@asset(pool='warehouse')\ndef a() -> int:\n    return 1\n", POOL)
    project = workspace.project()
    held = Pools(project.settings.state_path / "locks", {"warehouse": 1})
    assert held.take("x", {"warehouse": 1}, 41) is None
    waits = Waits(lambda: os.kill(os.getpid(), signal.SIGINT))

    result: RunResult = project.materialize(observer=waits)

    held.close()
    assert result.interrupted
    assert {one.asset: one.state for one in result} == {"a": "cancelled"}


def test_a_pool_that_is_not_declared_is_named_with_the_nearest_and_one_that_is_too_small_too(
    workspace: Workspace,
) -> None:
    workspace.assets(
        """
        @asset(pool="warehuose")
        def a(): ...

        @asset(pool={"db": 4})
        def b(): ...

        @asset(pool="gpu")
        def c(): ...
        """,
        POOL,
    )

    with pytest.raises(ProjectLoadError) as raised:
        workspace.project()

    assert [str(one).splitlines() for one in raised.value.problems] == [
        ["asset `a` takes a slot of the pool `warehuose`, which is not declared", "  did you mean `warehouse`?",
         "  at assets.py:17", "  help: write `warehouse`"],
        ["asset `b` takes 4 slots of the pool `db`, which has 3 slots, so it could never run", "  at assets.py:20",
         "  help: take fewer, or give the pool more in `assetflow.toml`"],
        ["asset `c` takes a slot of the pool `gpu`, which is not declared", "  at assets.py:23",
         "  help: say how many slots it has in `assetflow.toml`: pools.gpu = 2"],
    ]  # fmt: skip


def test_a_pool_that_shrinks_is_seen_though_no_code_changed(workspace: Workspace) -> None:
    workspace.assets("@asset(pool={'db': 3})\ndef a() -> int:\n    return 1\n", POOL)
    workspace.project()
    workspace.edit("db = 3", "db = 2", "assetflow.toml")

    with pytest.raises(ProjectLoadError):
        workspace.project()


def test_the_longest_chain_starts_first_once_it_is_known_how_long_things_take(workspace: Workspace) -> None:
    names = ["a1", "a2", "a3", "slow"]
    body = "@asset\ndef {0}() -> int:\n    ran('{0}')\n    time.sleep({1})\n    return 1\n"
    texts = [body.format(name, 0.25 if name == "slow" else 0.0) for name in names]
    workspace.assets("import time\n\n" + "\n".join(texts) + "\n@asset\ndef z(slow: int) -> int:\n    return 1\n")
    workspace.materialize("a1 or a2 or a3 or slow", executor="inline")
    workspace.ran()

    workspace.materialize(force=True, executor="threads", workers=2)

    assert "slow" in workspace.ran()[:2], "with one worker the order makes no difference, and is that of the plan"


def test_the_note_of_a_slot_says_who_has_it(tmp_path: Path) -> None:
    pools = Pools(tmp_path, {"db": 1})
    pools.take("orders", {"db": 1}, 41)

    assert json.loads(FileLock(tmp_path / "pool-db-0.lock").note()) == {"run": 41, "node": "orders", "pid": os.getpid()}
    pools.close()
