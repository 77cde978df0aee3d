"""Assets that hang, crash, leave processes behind or print without end, in processes of their own.

Each gets the right error, nothing of it survives, its log stays small, and the other assets finish.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from assetflow.run.steplog import LOG_LIMIT
from tests.end_to_end.citizens import DYING, GOOD, HANGING, LEAVING, RAISING, RETURNING, Citizen, module

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SECONDS_TO_END = 5.0


def alive(mark: str) -> dict[int, str]:
    """The processes that have the mark in their environment, or have cleaned it and sleep as long as the mark says."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if mark.encode() in (entry / "environ").read_bytes() or command == f"sleep {mark}":
                found[int(entry.name)] = command
        except OSError:
            continue
    return {pid: command for pid, command in found.items() if command}


def run(folder: Any, citizens: tuple[Citizen, ...], *options: str) -> tuple[dict[str, Any], str, float]:
    """What became of each asset, the mark of all processes of the run, and how long it took."""
    mark = f"600.{uuid4().int}"
    folder.write("assets.py", re.sub(r"(sleep'?,? '?)600\b", rf"\g<1>{mark}", module((*citizens, *GOOD))))
    began = time.monotonic()
    answer = folder.run("materialize", "--json", *options, timeout=110, cold=True, CITIZENS=mark)
    took = time.monotonic() - began
    return {one["asset"]: one for one in json.loads(answer.out)["data"]["outcomes"]}, mark, took


def judge(folder: Any, citizens: tuple[Citizen, ...], found: dict[str, Any], mark: str) -> None:
    assert alive(mark) == {}
    wrong: list[str] = []
    for one in citizens:
        outcome = found[one.name]
        error = outcome["error"] or {}
        told = f"{error.get('code')} {error.get('type')}: {error.get('message')}"
        if (outcome["state"] == "failed") != bool(one.says) or (one.says and not re.search(one.says, told)):
            wrong.append(f"{one.name} is {outcome['state']}: {told[:300]}")
    assert wrong == []
    assert {found[one.name]["state"] for one in GOOD} == {"materialized"}
    logs = sum(file.stat().st_size for file in folder.path.glob(".assetflow/runs/*/*.log"))
    assert logs < (len(citizens) + 1) * 1_000_000 + 6 * LOG_LIMIT
    assert [*folder.path.glob(".assetflow/data/tmp/*")] == []


GROUPS = {"dying": DYING, "raising": RAISING, "returning": RETURNING, "leaving": LEAVING}


@pytest.mark.end_to_end
@pytest.mark.parametrize("executor", [pytest.param("threads", marks=pytest.mark.slow), "processes"])
@pytest.mark.parametrize("group", GROUPS)
def test_each_gets_the_right_end_and_leaves_nothing(folder: Any, group: str, executor: str) -> None:
    citizens = GROUPS[group]
    if executor == "processes":  # then nothing has to be said for an asset to be apart
        citizens = tuple(Citizen(c.name, c.body, c.says, c.options.replace('isolation="process"', ""), c.returns)
                         for c in citizens)  # fmt: skip

    found, mark, _ = run(folder, citizens, "--executor", executor)

    judge(folder, citizens, found, mark)


@pytest.mark.end_to_end
def test_what_hangs_is_ended_within_five_seconds_of_its_timeout(folder: Any) -> None:
    found, mark, _ = run(folder, HANGING, "-j", str(len(HANGING) + 2))

    judge(folder, HANGING, found, mark)
    for one in HANGING:
        assert sum(found[one.name]["seconds"].values()) < 0.8 + SECONDS_TO_END, one.name
    for name in ("sleeps", "holds_the_gil", "blocks_in_c", "waits_for_a_lock"):
        assert found[name]["error"]["file"].endswith("assets.py"), name
        assert found[name]["error"]["function"] == name
