"""Assets that are made by themselves: what each wants, from the plan and from what was asked for before.

The planner has decided what is stale; this decides only whether somebody has to be told. It compares what an asset
would be made from now with that for which it was last asked for. So it may look as often as it likes, and starts with
the same answer after a kill, a restart or a change of the clock. A run that failed is not asked for again until one of
these is another: the definition, an input, or the reason.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from msgspec import Struct, field

from assetflow.automation.due import due_ticks, next_ticks
from assetflow.fingerprint.hashing import digest
from assetflow.model.auto import CRON, MISSING
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Attempt
from assetflow.model.sensors import Requested
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import Plan, Step
from assetflow.plan.staleness import STAYS, Action, definition_key

MOST = 1000
"""So many partitions of an asset are asked for at once; the others when these have ended."""
TRIES = 3
"""So often an asset is asked for with one key when the runs are stopped, or die, before it was its turn."""

_STALE = (Action.RUN, Action.MAYBE, Action.LINK)
_NOT_ENDED = ("running", "died", "cancelled")
_WILL = "will be "
_OF_MISSING = ("never_materialized", "data_missing")

Memory = Mapping[str, Mapping[str, Any]]
"""Of each asset with what it was last asked for, the number of the `look`, how many `tries`, and the last `tick`.

Of an asset with partitions it is the last tick that all of them have dealt with; the rest is kept for each partition
that was asked for and is not current yet.
"""


class Condition(Struct, frozen=True):
    """One line of the truth table: what must hold, whether it does, and what that rests on."""

    name: str
    holds: bool
    text: str

    def to_json(self) -> dict[str, object]:
        """The condition as JSON-able values."""
        return {"condition": self.name, "holds": self.holds, "text": self.text}


class Verdict(Struct, frozen=True):
    """Whether an asset, or a partition of one, is asked for now: when all conditions hold.

    An asset with partitions is never asked for itself: its own verdict says how its partitions stand. `basis` names its
    definition and why it is stale, `read` the content of what it reads, or how that will be made.
    """

    asset: AssetKey
    conditions: tuple[Condition, ...]
    basis: str
    read: Mapping[str, str]
    tick: int | None = None
    is_again: bool = False
    is_dealt_with: bool | None = None
    """Of an asset with partitions: whether none of them waits any more for the tick that is due."""

    @property
    def is_wanted(self) -> bool:
        """Whether it is asked for."""
        return all(one.holds for one in self.conditions)

    @property
    def is_settled(self) -> bool:
        """Whether a tick that it waited for needs nothing of it."""
        if self.is_dealt_with is not None:
            return self.is_dealt_with
        return next((not one.holds for one in self.conditions if one.name == "stale"), False)


class Facts(Struct, frozen=True):
    """What the decision rests on beside the plan. `contents` has a digest of what is current of each asset.

    `attempts` are the last ones of what is planned, `requests` those for assets with `auto=`, by the number of the look
    that asked. Partitions of assets that are `at_work` were asked for, and that has not ended.
    """

    memory: Memory
    now: float
    contents: Mapping[str, str]
    attempts: Mapping[tuple[AssetKey, str], Attempt] = field(default_factory=dict[tuple[AssetKey, str], Attempt])
    requests: Mapping[str, Requested] = field(default_factory=dict[str, Requested])
    paused_by: str | None = None
    at_work: frozenset[str] = frozenset()


def verdicts(plan: Plan, specs: Iterable[AssetSpec], facts: Facts) -> dict[AssetKey, Verdict]:
    """What becomes of every asset with `auto=`, and of its partitions that are not current. `specs` are all assets."""
    found: dict[AssetKey, Verdict] = {}
    asked: Counter[str] = Counter()
    parts: defaultdict[str, list[Verdict]] = defaultdict(list)
    for key, step in plan.steps.items():  # upstreams first
        if step.spec.auto is None or (step.partition and step.action is Action.CURRENT):
            continue
        asset = split_slot(key)[0]
        found[key] = _verdict(plan, step, step.spec, facts, found, asked[asset])
        asked[asset] += found[key].is_wanted
        parts[asset].append(found[key])
    for spec in specs:
        if spec.auto is not None and spec.partitions is not None:
            found[spec.key] = _of_all(spec, facts, parts[spec.key])
    return found


def _of_all(spec: AssetSpec, facts: Facts, parts: Sequence[Verdict]) -> Verdict:
    """How the partitions of an asset stand, of those that are not current."""
    assert spec.auto is not None
    conditions = [Condition("policy", True, f"auto is {spec.auto}"), _unpaused(facts)]
    stale = [one for one in parts if not one.is_settled]
    wanted = sum(one.is_wanted for one in stale)
    words = f"{len(stale):,} partitions, of which {wanted:,} are asked for" if stale else "no partition is"
    conditions.append(Condition("stale", bool(stale), words))
    tick: int | None = None
    if spec.auto.kind == CRON:
        tick, due = _tick(spec, facts.memory.get(spec.key, {}), facts.now)
        conditions.append(due)
    each = f'each has its own answer: assetflow why --not "{stale[0].asset}"' if stale else "each has its own answer"
    conditions.append(Condition("by partition", False, each))
    waits = any(one.tick is not None and not one.is_wanted for one in stale)
    return Verdict(spec.key, tuple(conditions), "", {}, tick, is_dealt_with=not waits)


def memory_after(found: Mapping[AssetKey, Verdict], facts: Facts, look: int) -> Memory:
    """What is to be remembered when all that are wanted were asked for."""
    kept: dict[str, Mapping[str, Any]] = {}
    for key, one in found.items():
        before = dict(facts.memory.get(key, {}))
        if one.is_wanted:
            tries = int(before.get("tries", 0)) + 1 if one.is_again else 1
            before.update(basis=one.basis, read=dict(one.read), tries=tries, look=look)
        elif one.is_again:
            before["read"] = dict(one.read)  # what was to be made for it is there
        if split_slot(key)[1]:
            before.update({"tick": one.tick} if one.tick is not None and one.is_wanted else {})
            kept.update({str(key): before} if before else {})
            continue
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


def _verdict(
    plan: Plan, step: Step, spec: AssetSpec, facts: Facts, wanted: Mapping[AssetKey, Verdict], asked_for: int
) -> Verdict:
    assert spec.auto is not None
    memory = facts.memory.get(spec.key, {})
    asset = split_slot(spec.key)[0]
    conditions = [Condition("policy", True, f"auto is {spec.auto}"), _unpaused(facts), _stale(step, spec)]
    tick: int | None = None
    if spec.auto.kind == CRON:
        of_asset = facts.memory.get(asset, {})
        mark = max(memory.get("tick", 0), of_asset.get("tick", facts.now)) if step.partition else memory.get("tick")
        tick, due = _tick(spec, {} if mark is None else {"tick": mark}, facts.now)
        conditions.append(due)
    conditions.append(_upstreams(plan, step, wanted))
    basis, read = _basis(step, spec, tick), _read(plan, step, facts, wanted)
    asked = facts.requests.get(str(memory.get("look")))
    is_again = memory.get("basis") == basis and _is_same(memory.get("read", {}), read, plan, step, asked)
    conditions.append(_untried(spec.key, memory, facts, asked, is_again=is_again))
    if step.partition and all(one.holds for one in conditions):
        conditions.append(_turn(asset, facts, asked_for))
    return Verdict(spec.key, tuple(conditions), basis, read, tick, is_again)


def _turn(asset: str, facts: Facts, asked_for: int) -> Condition:
    """Whether more partitions of an asset are asked for now: so many at once, and none while others are at work."""
    if asset in facts.at_work:
        return Condition("its turn", False, "others of its partitions were asked for, and that has not ended")
    return Condition("its turn", asked_for < MOST, f"one of up to {MOST:,} at once")


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
        verdict = wanted.get(given.upstream)
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
    attempt = facts.attempts.get(split_slot(key))
    # A run that came later, whoever asked for it, has hidden what became of it in the one that was asked for.
    is_since = attempt is not None and asked.run_id is not None and attempt.run_id >= asked.run_id
    if attempt is not None and is_since and attempt.state not in _NOT_ENDED:
        message = str((attempt.error or {}).get("message", "")).partition("\n")[0]
        where = f"{attempt.state} in run #{attempt.run_id}"
        what = f"{where} with this code and these inputs{f': {message}' if message else ''}"
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
    texts: dict[str, dict[str, None]] = {}
    for given in step.spec.inputs:
        asset, above = split_slot(given.upstream)[0], plan.steps.get(given.upstream)
        verdict = wanted.get(given.upstream)
        if verdict is not None and verdict.is_wanted:
            will = digest("will", verdict.basis.encode(), json.dumps(verdict.read, sort_keys=True).encode())
            text = f"{_WILL}{will}"
        elif above is not None and above.spec.is_source and above.token:
            text = above.token
        elif step.partition:
            text = "" if above is None or above.head is None else above.head.version.data_hash
        else:
            text = facts.contents.get(asset, "")
        texts.setdefault(asset, {})[text] = None
    return {asset: _together(list(own)) for asset, own in texts.items()}


def _together(texts: list[str]) -> str:
    """What is read of several partitions of one upstream, as one text."""
    if len(texts) == 1:
        return texts[0]
    will = _WILL if any(text.startswith(_WILL) for text in texts) else ""
    return will + digest("read", *(text.encode() for text in texts))


def _is_same(
    before: Mapping[str, str], now: Mapping[str, str], plan: Plan, step: Step, asked: Requested | None
) -> bool:  # fmt: skip
    """Whether an asset reads what it did when it was asked for: also what was made for it in that run."""
    return before.keys() == now.keys() and all(
        text == before[asset] or (before[asset].startswith(_WILL) and _is_made_by(plan, step, asset, asked))
        for asset, text in now.items()
    )


def _is_made_by(plan: Plan, step: Step, asset: str, asked: Requested | None) -> bool:
    """Whether what is read of an upstream is current, and something of it was made in the run that was asked for."""
    above = [plan.steps.get(one.upstream) for one in step.spec.inputs if split_slot(one.upstream)[0] == asset]
    if asked is None or not all(one is not None and one.head is not None and one.action in STAYS for one in above):
        return False
    return any(one is not None and one.head is not None and one.head.trace.run_id == asked.run_id for one in above)


def _words(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%MZ}"
