"""Assets that are made by themselves: what each wants, from the plan and from what was asked for before.

The planner has decided what is stale; this decides only whether somebody has to be told. It compares what an asset
would be made from now with that for which it was last asked for. So it may look as often as it likes, and starts with
the same answer after a kill, a restart or a change of the clock. A run that failed is not asked for again until one of
these is another: the definition, an input, or the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from assetflow.automation.due import due_ticks, next_ticks
from assetflow.fingerprint.hashing import digest
from assetflow.model.auto import CRON, MISSING
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Attempt
from assetflow.model.sensors import Requested
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import Plan, Step
from assetflow.plan.staleness import STAYS, Action, definition_key

TRIES = 3
"""So often an asset is asked for with one key when the runs are stopped, or die, before it was its turn."""

_STALE = (Action.RUN, Action.MAYBE, Action.LINK)
_NOT_ENDED = ("running", "died", "cancelled")
_WILL = "will be "
_OF_MISSING = ("never_materialized", "data_missing")

Memory = Mapping[str, Mapping[str, Any]]
"""Of each asset with what it was last asked for, the number of the `look`, how many `tries`, and the last `tick`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of the truth table: what must hold, whether it does, and what that rests on."""

    name: str
    holds: bool
    text: str

    def to_json(self) -> dict[str, object]:
        """The condition as JSON-able values."""
        return {"condition": self.name, "holds": self.holds, "text": self.text}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an asset is asked for now: when all conditions hold.

    `basis` names its definition and why it is stale, `read` the content of what it reads, or how that will be made.
    """

    asset: AssetKey
    conditions: tuple[Condition, ...]
    basis: str
    read: Mapping[str, str]
    tick: int | None = None
    is_again: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether it is asked for."""
        return all(one.holds for one in self.conditions)

    @property
    def is_settled(self) -> bool:
        """Whether a tick that it waited for needs nothing of it."""
        return next((not one.holds for one in self.conditions if one.name == "stale"), False)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision rests on beside the plan. `contents` has a digest of what is current of each asset.

    `attempts` are the last ones of assets without partitions, `requests` those for assets with `auto=`, by the number
    of the look that asked.
    """

    memory: Memory
    now: float
    contents: Mapping[str, str]
    attempts: Mapping[tuple[AssetKey, str], Attempt] = field(default_factory=dict[tuple[AssetKey, str], Attempt])
    requests: Mapping[str, Requested] = field(default_factory=dict[str, Requested])
    paused_by: str | None = None


def verdicts(plan: Plan, specs: Iterable[AssetSpec], facts: Facts) -> dict[AssetKey, Verdict]:
    """What becomes of every asset with `auto=`; `specs` are all of a project, upstreams first."""
    found: dict[AssetKey, Verdict] = {}
    for spec in specs:
        if spec.auto is not None and spec.key in plan.steps:
            found[spec.key] = _verdict(plan, plan.steps[spec.key], spec, facts, found)
    return found


def memory_after(found: Mapping[AssetKey, Verdict], facts: Facts, look: int) -> Memory:
    """What is to be remembered when all that are wanted were asked for."""
    kept: dict[str, Mapping[str, Any]] = {}
    for key, one in found.items():
        before = dict(facts.memory.get(key, {}))
        if one.is_wanted:
            tries = int(before.get("tries", 0)) + 1 if one.is_again else 1
            before.update(basis=one.basis, read=dict(one.read), tries=tries, look=look)
        if one.tick is not None and (one.is_wanted or one.is_settled):
            before["tick"] = one.tick
        elif "tick" not in before:
            before["tick"] = int(facts.now)
        kept[str(key)] = before
    return kept


def memory_of(cursor: str | None, env: str) -> Memory:
    """The memory of an environment, from the cursor of the round."""
    return {} if cursor is None else cast("dict[str, Memory]", json.loads(cursor)).get(env, {})


def cursor_with(cursor: str | None, env: str, memory: Memory) -> str:
    """The cursor with the memory of an environment."""
    known = {} if cursor is None else cast("dict[str, Memory]", json.loads(cursor))
    return json.dumps({**known, env: memory}, sort_keys=True)


def _verdict(plan: Plan, step: Step, spec: AssetSpec, facts: Facts, wanted: Mapping[AssetKey, Verdict]) -> Verdict:
    assert spec.auto is not None
    memory = facts.memory.get(spec.key, {})
    conditions = [Condition("policy", True, f"auto is {spec.auto}"), _unpaused(facts), _stale(step, spec)]
    tick: int | None = None
    if spec.auto.kind == CRON:
        tick, due = _tick(spec, memory, facts.now)
        conditions.append(due)
    conditions.append(_upstreams(plan, step, wanted))
    basis, read = _basis(step, spec, tick), _read(plan, step, facts, wanted)
    asked = facts.requests.get(str(memory.get("look")))
    is_again = memory.get("basis") == basis and _is_same(memory.get("read", {}), read, plan, asked)
    conditions.append(_untried(spec.key, memory, facts, asked, is_again=is_again))
    return Verdict(spec.key, tuple(conditions), basis, read, tick, is_again)


def _unpaused(facts: Facts) -> Condition:
    said = "it looks" if facts.paused_by is None else f"paused by {facts.paused_by}: assetflow sensor resume auto"
    return Condition("not paused", facts.paused_by is None, said)


def _stale(step: Step, spec: AssetSpec) -> Condition:
    told = [reason.text for reason in step.reasons if reason.code != "failed_last"]
    words = "; ".join(told[:2]) or "code, config and inputs are those of its version"
    if step.action is Action.BLOCKED:
        return Condition("stale", False, f"it cannot be made: {words}")
    is_stale = step.action in _STALE
    if spec.auto is not None and spec.auto.kind == MISSING:
        is_missing = is_stale and any(reason.code in _OF_MISSING for reason in step.reasons)
        return Condition("stale", is_missing, words if is_missing or not is_stale else "stale, but there is a version")
    return Condition("stale", is_stale, words)


def _tick(spec: AssetSpec, memory: Mapping[str, Any], now: float) -> tuple[int | None, Condition]:
    """The newest tick that has come since the one that was dealt with."""
    assert spec.auto is not None
    mark = int(memory.get("tick", now))
    newest = max(due_ticks(spec.auto.cron, spec.auto.tz, mark, now), default=None)
    if newest is not None:
        return newest, Condition("tick due", True, f"that of {_words(newest)}")
    upcoming = next_ticks(spec.auto.cron, spec.auto.tz, max(mark, now))
    return None, Condition("tick due", False, f"the next is {_words(upcoming[0])}" if upcoming else "there is none")


def _upstreams(plan: Plan, step: Step, wanted: Mapping[AssetKey, Verdict]) -> Condition:
    waiting: dict[str, None] = {}
    together: dict[str, None] = {}
    for given in step.spec.inputs:
        above = plan.steps.get(given.upstream)
        if above is None or above.spec.is_source or above.action in STAYS:
            continue
        asset = split_slot(given.upstream)[0]
        verdict = wanted.get(asset)
        (together if verdict is not None and verdict.is_wanted else waiting)[asset] = None
    if waiting:
        return Condition("upstreams current", False, f"not current, and not made now: {', '.join(waiting)}")
    if together:
        return Condition("upstreams current", True, f"made with it: {', '.join(together)}")
    return Condition("upstreams current", True, "all that it reads is current")


def _untried(
    key: AssetKey, memory: Mapping[str, Any], facts: Facts, asked: Requested | None, *, is_again: bool
) -> Condition:
    """Whether it was not asked for with the same before, or that came to no end."""
    if not is_again:
        return Condition("not tried", True, "not asked for with this code and these inputs before")
    if asked is None:
        return Condition("not tried", False, "asked for already")
    run = "" if asked.run_id is None else f" in run #{asked.run_id}"
    if asked.state in ("queued", "claimed"):
        return Condition("not tried", False, f"asked for already{run or ', and waits'}")
    attempt = facts.attempts.get((key, ""))
    if attempt is not None and attempt.run_id == asked.run_id and attempt.state not in _NOT_ENDED:
        message = str((attempt.error or {}).get("message", "")).partition("\n")[0]
        what = f"{attempt.state}{run} with this code and these inputs{f': {message}' if message else ''}"
        return Condition("not tried", False, what)
    if asked.state == "done":
        return Condition("not tried", False, f"asked for with this code and these inputs{run or ', and nothing to do'}")
    tries = int(memory.get("tries", 1))
    return Condition("not tried", tries < TRIES, f"asked for {tries} times, and no run came to it: {asked.note}")


def _basis(step: Step, spec: AssetSpec, tick: int | None) -> str:
    """The definition of an asset, and why it is stale apart from what it reads."""
    why = sorted(
        json.dumps([one.code, one.data], sort_keys=True, default=str)
        for one in step.reasons
        if one.is_root and one.code != "input_changed"  # what it reads is told apart, and how it ended does not count
    )
    parts = [definition_key(spec.key, spec, (), ()), str(tick), *why]
    return digest("auto", *(part.encode() for part in parts))


def _read(plan: Plan, step: Step, facts: Facts, wanted: Mapping[AssetKey, Verdict]) -> dict[str, str]:
    """What an asset reads: the content of each upstream, or what that will be made from in the same run."""
    read: dict[str, str] = {}
    for given in step.spec.inputs:
        asset, above = split_slot(given.upstream)[0], plan.steps.get(given.upstream)
        verdict = wanted.get(asset)
        if verdict is not None and verdict.is_wanted:
            will = digest("will", verdict.basis.encode(), json.dumps(verdict.read, sort_keys=True).encode())
            read[asset] = f"{_WILL}{will}"
        else:
            token = above.token if above is not None and above.spec.is_source else ""
            read[asset] = token or facts.contents.get(asset, "")
    return read


def _is_same(before: Mapping[str, str], now: Mapping[str, str], plan: Plan, asked: Requested | None) -> bool:
    """Whether an asset reads what it did when it was asked for: also what was made for it in that run."""
    return before.keys() == now.keys() and all(
        text == before[asset] or (before[asset].startswith(_WILL) and _is_made_by(plan, asset, asked))
        for asset, text in now.items()
    )


def _is_made_by(plan: Plan, asset: str, asked: Requested | None) -> bool:
    step = plan.steps.get(AssetKey(asset))
    is_there = step is not None and step.head is not None and step.action is Action.CURRENT
    return is_there and asked is not None and step is not None and _run_of(step) == asked.run_id


def _run_of(step: Step) -> int | None:
    return None if step.head is None else step.head.trace.run_id


def _words(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%MZ}"
