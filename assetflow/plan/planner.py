"""The plan: what would run, what may run, what is current, for a selection. Also what `status` shows."""

from __future__ import annotations

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.errors import AssetflowError, AssetPinned
from assetflow.model.garbage import garbage_kept
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import Discovered, Doubt, Head, Pin, Version
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.estimate import Estimate, Work, estimate
from assetflow.plan.graph import AssetGraph
from assetflow.plan.members import members_of
from assetflow.plan.staleness import Action, Content, Decision, Reason, decide
from assetflow.plan.surroundings import seen_words
from assetflow.plan.together import by_function, joined

if TYPE_CHECKING:
    from assetflow.plan.causes import RootCause
    from assetflow.plan.crowds import Crowd
    from assetflow.plan.modifiers import Modifier


class SourceNow(Struct, frozen=True):
    """What a source looks like now: its token and its data's own time (UTC seconds), or the problem of reading it."""

    token: str
    as_of: float | None = None
    size_bytes: int | None = None
    problem: AssetflowError | None = None


class World(Struct, frozen=True):
    """All that a decision may depend on, gathered before planning. `lost` are assets whose current bytes are gone.

    `pins` are of assets that are left as they are, whatever they would need; `doubts` say which traces do not count;
    `unsteady` are assets with an input key of which one definition gave different contents.
    `traces(keys)` gives, for each of these assets, its traces with live bytes by input key; `durations(keys)`, how many
    seconds each took when it was computed. Both are called at most once. `linkable(keys)` are those of
    these assets that may have a trace by this input key: without any, traces are not asked for. `discovered` has the
    digests of now for the files that functions were seen to open; without it they do not count. `settled` are asset
    partitions of the graph that are known to be current, `current` counts for each asset those that are not even in
    the graph. `crowds` are slots that stand for many each. Of those that are `unmet`, an input has no partition that
    they could read. `at` is the time of it all.
    """

    graph: AssetGraph
    env: str
    heads: Mapping[tuple[AssetKey, str], Head]
    sources: Mapping[AssetKey, SourceNow]
    traces: Callable[[list[AssetKey]], Mapping[tuple[AssetKey, str], Mapping[str, Head]]]
    lost: frozenset[AssetKey] = frozenset()
    pins: Mapping[AssetKey, Pin] = field(default_factory=dict[AssetKey, Pin])
    doubts: Mapping[AssetKey, Doubt] = field(default_factory=dict[AssetKey, Doubt])
    unsteady: frozenset[tuple[AssetKey, str]] = frozenset()
    durations: Callable[[list[AssetKey]], Mapping[AssetKey, float]] = lambda _: {}
    linkable: Callable[[Mapping[AssetKey, str]], Collection[AssetKey]] = lambda keys: keys
    discovered: Discovered | None = None
    settled: frozenset[AssetKey] = frozenset()
    current: Mapping[AssetKey, int] = field(default_factory=dict[AssetKey, int])
    crowds: Mapping[AssetKey, Crowd] = field(default_factory=dict[AssetKey, "Crowd"])
    unmet: Mapping[AssetKey, InputSpec] = field(default_factory=dict[AssetKey, InputSpec])
    at: float = field(default_factory=lambda: time.time())  # noqa: PLW0108 - the clock of when it is called

    def head(self, key: AssetKey) -> Head | None:
        """The head of an asset, or of an asset partition by the name of its slot."""
        return self.heads.get(split_slot(key))


class Step(Struct, frozen=True):
    """One asset partition of a plan. `seen` says what the files are now that its function was seen to open."""

    spec: AssetSpec
    partition: str
    action: Action
    reasons: tuple[Reason, ...]
    head: Head | None
    link: Head | None = None
    is_changed_source: bool = False
    pin: Pin | None = None
    is_lost: bool = False
    is_unsteady: bool = False
    predicted_s: float | None = None
    token: str = ""
    seen: str = ""
    last_good: tuple[Version, ...] = ()
    """Versions that the asset reads because these upstreams cannot be built."""
    crowd: Crowd | None = None
    """The partitions that the step speaks for, where that are many that stand alike."""

    @property
    def modifiers(self) -> tuple[Modifier, ...]:
        """What is to be said of the asset beside its state."""
        from assetflow.model.inputs import LAST_GOOD
        from assetflow.plan.modifiers import Modifier, modifiers

        found = modifiers(self.spec, self.head, is_lost=self.is_lost, is_unsteady=self.is_unsteady)
        good = [Modifier(LAST_GOOD, f"reads {one.asset}@{one.number}, as it cannot be built") for one in self.last_good]
        return (*good, *found)

    @property
    def asset(self) -> AssetKey:
        """The asset key, or the name of the slot of an asset with partitions."""
        return self.spec.key

    @property
    def count(self) -> int:
        """How many partitions the step is about."""
        return 1 if self.crowd is None else self.crowd.members.count

    @property
    def estimate_s(self) -> float | None:
        """How long it takes to compute the asset, from when it was computed before, in seconds; None: it never was."""
        if self.predicted_s is not None:
            return self.predicted_s * self.count
        if self.head is None or self.spec.is_source:
            return None
        return max(0.0, self.head.trace.finished_at - self.head.trace.started_at)

    def to_json(self) -> dict[str, object]:
        """The step as JSON-able values."""
        return {
            "asset": split_slot(self.asset)[0],
            "partition": self.partition or None,
            **({} if self.crowd is None else {"partitions": self.count}),
            "action": str(self.action),
            "reasons": [reason.to_json() for reason in self.reasons],
            "base_version": None if self.head is None else self.head.version.number,
            "link_version": None if self.link is None else self.link.version.number,
            "modifiers": [one.to_json() for one in self.modifiers],
            "pin": None if self.pin is None else self.pin.to_json(),
            "estimate": {"seconds": self.estimate_s},
        }


class Plan(Struct, frozen=True, dict=True):
    """What `materialize` would do, in topological order. Sources are in `steps` too, but are never run."""

    env: str
    selection: str
    targets: tuple[AssetKey, ...]
    steps: Mapping[AssetKey, Step]
    workers: int = 1
    partitions: str | None = None
    """Which partitions were asked for, as a user's text."""
    settled: Mapping[AssetKey, int] = field(default_factory=dict[AssetKey, int])
    """Of each asset with partitions, how many more are current that have no step."""
    settled_s: float = 0.0
    """How long these took to compute, in seconds, as far as that is known."""

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps.values())

    def __getitem__(self, key: str) -> Step:
        return self.steps[AssetKey(key)]

    @cached_property
    def _by_action(self) -> Mapping[Action, tuple[Step, ...]]:
        found: defaultdict[Action, list[Step]] = defaultdict(list)
        for step in self:
            if not step.spec.is_source:
                found[step.action].append(step)
        return {action: tuple(steps) for action, steps in found.items()}

    def _having(self, action: Action) -> tuple[Step, ...]:
        return self._by_action.get(action, ())

    @property
    def run(self) -> tuple[Step, ...]:
        """The assets that will run."""
        return self._having(Action.RUN)

    @property
    def maybe(self) -> tuple[Step, ...]:
        """The assets that run only if the content above them really changes."""
        return self._having(Action.MAYBE)

    @property
    def link(self) -> tuple[Step, ...]:
        """The assets whose earlier result fits again: a pointer moves, nothing is computed."""
        return self._having(Action.LINK)

    @property
    def current(self) -> tuple[Step, ...]:
        """The assets that are what their code and inputs would produce."""
        return self._having(Action.CURRENT)

    @property
    def current_count(self) -> int:
        """How many assets and asset partitions are current, with those that have no step."""
        return partitions_in(self.current) + sum(self.settled.values())

    @property
    def saved_s(self) -> float:
        """How long what is current took to compute, in seconds, as far as that is known."""
        return sum(step.estimate_s or 0.0 for step in self.current) + self.settled_s

    @property
    def pinned(self) -> tuple[Step, ...]:
        """The assets that stay at the version that they are pinned to."""
        return self._having(Action.PINNED)

    @property
    def undecided(self) -> tuple[Step, ...]:
        """The asset partitions that stay until somebody says whether an edit is for them (`on_code_change="ask"`)."""
        return self._having(Action.UNDECIDED)

    @property
    def blocked(self) -> tuple[Step, ...]:
        """What cannot be built: a source, the bytes of a pinned version, or (without upstreams) an input is missing."""
        return self._having(Action.BLOCKED)

    @property
    def changed_sources(self) -> tuple[Step, ...]:
        """The sources that differ from what was last observed."""
        return tuple(step for step in self if step.is_changed_source)

    @cached_property
    def estimate(self) -> Estimate:
        """What the plan costs at most, on so many `workers`, and what it saves."""
        planned = (*self.run, *self.maybe)
        by_node: dict[str, list[Step]] = {}
        for step in planned:
            by_node.setdefault(step.spec.node, []).append(step)
        node_of = {step.asset: step.spec.node for step in planned}
        work: list[Work] = []
        for name, steps in by_node.items():
            above = {node_of[one.upstream] for step in steps for one in step.spec.inputs if one.upstream in node_of}
            one = self.work(name, [step.asset for step in steps], frozenset(above - {name}))
            work += [one] if steps[0].crowd is None else replace(one, calls=steps[0].count).spread(self.workers)
        saved = self.saved_s + sum(step.estimate_s or 0.0 for step in self.link)
        return estimate(work, self.workers, saved)

    def work(self, node: str, keys: Sequence[AssetKey], above: frozenset[str]) -> Work:
        """A function that makes these assets together, after the functions `above`, as estimates see it."""
        known = [seconds for key in keys if (seconds := self.steps[key].estimate_s) is not None]
        return Work(node, tuple(keys), max(known, default=None), above)

    @cached_property
    def root_causes(self) -> tuple[RootCause, ...]:
        """What makes assets run, and how much of the plan each of them explains."""
        from assetflow.plan.causes import root_causes

        planned = {step.asset: step.reasons for step in (*self.run, *self.maybe, *self.link, *self.blocked)}
        crowds = {step.asset: step for step in self if step.crowd is not None}
        below: defaultdict[AssetKey, list[AssetKey]] = defaultdict(list)
        for key in planned:
            for given in self.steps[key].spec.inputs:
                below[given.upstream].append(key)
        return root_causes(planned, lambda key: below[key], {key: step.count for key, step in crowds.items()})

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.run or self.maybe or self.link or self.blocked)

    def to_json(self) -> dict[str, object]:
        """The plan as JSON-able values."""
        return {
            "env": self.env,
            "selection": self.selection,
            "items": [step.to_json() for step in self if not step.spec.is_source],
            "sources": [step.to_json() for step in self if step.spec.is_source],
            "current_partitions": dict(self.settled),
            "root_causes": [cause.to_json() for cause in self.root_causes],
            "estimate": self.estimate.to_json(),
        }

    def __repr__(self) -> str:
        run, maybe, link = map(partitions_in, (self.run, self.maybe, self.link))
        return f"<Plan run={run}, maybe={maybe}, link={link}, current={self.current_count}>"

    def _repr_html_(self) -> str:
        from assetflow.plan.notebook import plan_html

        return plan_html(self)


def partitions_in(steps: Iterable[Step]) -> int:
    """How many assets and partitions of assets these steps are about."""
    return sum(step.count for step in steps)


def make_plan(
    world: World,
    targets: Iterable[AssetKey],
    *,
    selection: str = "",
    with_upstream: bool = True,
    forced: frozenset[AssetKey] = frozenset(),
    workers: int = 1,
) -> Plan:
    """The plan for these targets, and for what they need unless `with_upstream` is False.

    Linear in the edges. Traces are looked up once, for all assets that are not current on their heads alone.

    Raises:
        AssetPinned: a pinned asset is forced.
    """
    wanted = tuple(targets)
    _refuse_forced_pins(forced & world.pins.keys())
    with garbage_kept():
        members = members_of(world.graph, wanted, world.pins, with_upstream=with_upstream)
        keys: dict[AssetKey, str] = {}
        steps = _pass(world, members, forced, {}, with_upstream, keys)
        candidates = [key for key, step in steps.items() if step.action in (Action.RUN, Action.MAYBE)]
        # Only where one of the input keys of now has a trace does that change the plan, there and below.
        if keys and world.linkable(keys):
            found = world.traces([key for key in candidates if key not in world.crowds])
            steps = _pass(world, members, forced, found, with_upstream, {})
        planned = [key for key in candidates if steps[key].action in (Action.RUN, Action.MAYBE)]
        took = world.durations([*planned, *world.current]) if planned or world.current else dict[AssetKey, float]()
        for key in planned:
            if key in took:
                steps[key] = replace(steps[key], predicted_s=took[key])
        settled_s = sum(count * took.get(key, 0.0) for key, count in world.current.items())
    return Plan(world.env, selection, wanted, steps, workers, settled=world.current, settled_s=settled_s)


def _refuse_forced_pins(pinned: frozenset[AssetKey]) -> None:
    if pinned:
        keys = sorted(pinned)
        names = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        verb = "is" if len(keys) == 1 else "are"
        fix = f"assetflow unpin {shlex.join(keys[:5])}"
        raise AssetPinned(f"{names} {verb} pinned, and so cannot be forced to run", fix=fix)


def accepts_last_good(world: World, given: InputSpec) -> bool:
    """Whether an earlier version of an upstream will do when it cannot be built, and there is one with its bytes."""
    from assetflow.model.inputs import LAST_GOOD

    up = given.upstream
    is_there = world.head(up) is not None and up not in world.lost and not world.graph.specs[up].is_source
    return given.accept == LAST_GOOD and is_there


def _pass(
    world: World,
    members: list[AssetKey],
    forced: frozenset[AssetKey],
    traces: Mapping[tuple[AssetKey, str], Mapping[str, Head]],
    with_upstream: bool,
    keys: dict[AssetKey, str],
) -> dict[AssetKey, Step]:
    """The step of each member; `keys` gets the input keys of those that are not current by them."""
    steps: dict[AssetKey, Step] = {}
    known: dict[AssetKey, Content] = {}  # of what has a step: several mostly take it
    specs = dict(world.graph.specs)
    for together in by_function(world.graph, members):
        if specs[together[0]].is_source:
            steps.update((key, _source_step(world, specs[key])) for key in together)
            continue
        if together[0] in world.settled:
            steps.update((key, _settled_step(world, key)) for key in together)
            continue
        if together[0] in world.crowds:
            steps.update((key, _crowd_step(world, key, steps)) for key in together)
            continue
        decided = {key: _decide(world, specs[key], steps, known, traces, forced, with_upstream) for key in together}
        keys.update([(key, one.key) for key, one in decided.items() if one.key and one.action is not Action.CURRENT])
        if len(together) > 1:
            free = {key: decision for key, decision in decided.items() if key not in world.pins}
            decided.update(joined(free))
        for key, decision in decided.items():
            head, spec = world.head(key), specs[key]
            accepted = [one.upstream for one in spec.inputs if one.accept and _is_blocked(steps.get(one.upstream))]
            steps[key] = Step(
                spec, split_slot(key)[1], decision.action, decision.reasons, head, decision.link,
                pin=world.pins.get(key), is_lost=key in world.lost,
                is_unsteady=head is not None and (key, head.trace.input_key) in world.unsteady,
                seen="" if head is None else seen_words(head.trace, world.discovered),
                last_good=tuple([up.version for key in accepted if (up := world.head(key)) is not None]),
            )  # fmt: skip
    return {key: steps[key] for key in members}


def _decide(
    world: World, spec: AssetSpec, steps: Mapping[AssetKey, Step], known: dict[AssetKey, Content],
    traces: Mapping[tuple[AssetKey, str], Mapping[str, Head]], forced: frozenset[AssetKey], with_upstream: bool,
) -> Decision:  # fmt: skip
    key = spec.key
    if key in world.pins:
        return _pinned(world.pins[key], world.head(key), is_lost=key in world.lost)
    if (given := world.unmet.get(key)) is not None:
        text = f"{given.upstream} has no partition there, and `{given.parameter}` no default"
        return Decision(Action.BLOCKED, (Reason("upstream_missing", text, {"input": given.upstream}),))
    contents: dict[AssetKey, Content | None] = {}
    for given in spec.inputs:
        up = given.upstream
        step = steps.get(up)
        if step is not None and step.action is Action.BLOCKED and not accepts_last_good(world, given):
            return Decision(Action.BLOCKED, (_blocked(up, step),))
        content = contents[up] = known.get(up) or _content(world, up, step)
        if content is not None and step is not None:
            known[up] = content
        elif content is None and step is None and not with_upstream and given.mode != "order":
            text = f"{up} has no version"
            return Decision(Action.BLOCKED, (Reason("upstream_missing", text, {"input": up}),))
    decision = decide(
        spec, world.head(key), contents, traces.get(split_slot(key), {}), is_forced=key in forced,
        is_lost=key in world.lost, doubt=world.doubts.get(key), now=world.discovered, at=world.at,
    )  # fmt: skip
    if world.crowds and (crowded := [one.upstream for one in spec.inputs if one.upstream in world.crowds]):
        from assetflow.plan.crowds import without_names

        decision = without_names(decision, spec, crowded)
    reasons = tuple([_rooted(reason, steps) for reason in decision.reasons])
    return decision if reasons == decision.reasons else replace(decision, reasons=reasons)


def _is_blocked(step: Step | None) -> bool:
    return step is not None and step.action is Action.BLOCKED


def _rooted(reason: Reason, steps: Mapping[AssetKey, Step]) -> Reason:
    """The reason, which is no root when the input that changed does so only because of this plan: it is linked."""
    changed = reason.data.get("input") if reason.code == "input_changed" else None
    above = steps.get(AssetKey(changed)) if isinstance(changed, str) else None
    return replace(reason, is_root=False) if above is not None and above.action is Action.LINK else reason


def _pinned(pin: Pin, head: Head | None, *, is_lost: bool) -> Decision:
    """What is pinned stays; only when there is nothing left to stay at, something is wrong."""
    if head is None or is_lost:
        version = None if head is None else head.version.number
        text = f"the bytes of v{version} are gone, and it is {pin.words}"
        return Decision(Action.BLOCKED, (Reason("data_missing", text, {"version": version}),))
    return Decision(Action.PINNED, (Reason("pinned", pin.words, {"version": head.version.number}),))


def _content(world: World, key: AssetKey, step: Step | None) -> Content | None:
    if world.graph.specs[key].is_source:
        return source_content(world.sources[key], world.head(key))
    if step is not None and step.action in (Action.RUN, Action.MAYBE):
        return None
    head = step.link if step is not None and step.link is not None else world.head(key)
    return None if head is None else Content.of(head.version)


def source_content(now: SourceNow, head: Head | None) -> Content:
    """The content of a source as it is now; its version number is None until the change is recorded."""
    is_same = head is not None and head.version.data_hash == now.token
    return Content(now.token, None, {}, head.version.number if head is not None and is_same else None)


def _source_step(world: World, spec: AssetSpec) -> Step:
    now, head = world.sources[spec.key], world.head(spec.key)
    if now.problem is not None:
        reason = Reason("source_unavailable", now.problem.what, {"source": spec.key})
        return Step(spec, split_slot(spec.key)[1], Action.BLOCKED, (reason,), head)
    if head is not None and head.version.data_hash == now.token:
        return Step(spec, split_slot(spec.key)[1], Action.CURRENT, (), head, token=now.token)
    is_changed = head is not None
    reason = Reason("input_changed", "the source changed") if is_changed else Reason("never_materialized", "first seen")
    return Step(spec, split_slot(spec.key)[1], Action.CURRENT, (reason,), head, None, is_changed, token=now.token)


def _settled_step(world: World, key: AssetKey) -> Step:
    return Step(world.graph.specs[key], split_slot(key)[1], Action.CURRENT, (), world.head(key))


def _crowd_step(world: World, key: AssetKey, steps: Mapping[AssetKey, Step]) -> Step:
    """The step of many partitions: as the one is that they are like, if something was made of it."""
    spec, crowd = world.graph.specs[key], world.crowds[key]
    above = [(given, step) for given in spec.inputs if given.parameter and (step := steps.get(given.upstream))]
    blocking = (step for given, step in above if _is_blocked(step) and not accepts_last_good(world, given))
    like = None if crowd.like is None else steps[slot(crowd.asset, crowd.like)]
    if (step := next(blocking, None)) is not None:
        decision = Decision(Action.BLOCKED, (_blocked(step.asset, step),))
    else:
        waiting = [step.asset for _, step in above if step.action in (Action.RUN, Action.MAYBE)]
        from assetflow.plan.crowds import decided_together

        decision = decided_together(waiting, None if like is None else Decision(like.action, like.reasons))
    head = None if like is None else like.head
    return Step(spec, split_slot(key)[1], decision.action, decision.reasons, head, crowd=crowd)


def _blocked(key: AssetKey, step: Step) -> Reason:
    first = step.reasons[0]
    if first.code == "source_unavailable" and step.spec.is_source:
        return Reason("source_unavailable", first.text, {"source": key})
    return replace(first, is_root=False)
