"""The plan: what would run, what may run, what is current, for a selection. Also what `status` shows."""

from __future__ import annotations

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from assetflow.errors import AssetflowError, AssetPinned
from assetflow.model.garbage import garbage_kept
from assetflow.model.inputs import LAST_GOOD
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Discovered, Doubt, Head, Pin, Version
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.causes import RootCause, root_causes
from assetflow.plan.estimate import Estimate, Work, estimate
from assetflow.plan.graph import AssetGraph
from assetflow.plan.modifiers import Modifier, modifiers
from assetflow.plan.staleness import Action, Content, Decision, Reason, decide
from assetflow.plan.surroundings import seen_words


@dataclass(frozen=True, slots=True)
class SourceNow:
    """What a source looks like now: its token and its data's own time (UTC seconds), or the problem of reading it."""

    token: str
    as_of: float | None = None
    size_bytes: int | None = None
    problem: AssetflowError | None = None


@dataclass(frozen=True, slots=True)
class World:
    """All that a decision may depend on, gathered before planning. `lost` are assets whose current bytes are gone.

    `pins` are of assets that are left as they are, whatever they would need; `doubts` say which traces do not count;
    `unsteady` are assets with an input key of which one definition gave different contents.
    `traces(keys)` gives, for each of these assets, its traces with live bytes by input key; `durations(keys)`, how many
    seconds each took when it was computed. Both are called at most once. `discovered` has the digests of now for the
    files that functions were seen to open; without it they do not count. `settled` are asset partitions of the graph
    that are known to be current, `current` counts for each asset those that are not even in the graph. `at` is
    the time of it all.
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
    discovered: Discovered | None = None
    settled: frozenset[AssetKey] = frozenset()
    current: Mapping[AssetKey, int] = field(default_factory=dict[AssetKey, int])
    at: float = field(default_factory=lambda: time.time())  # noqa: PLW0108 - the clock of when it is called

    def head(self, key: AssetKey) -> Head | None:
        """The head of an asset, or of an asset partition by the name of its slot."""
        return self.heads.get(split_slot(key))


@dataclass(frozen=True, slots=True)
class Step:
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

    @property
    def modifiers(self) -> tuple[Modifier, ...]:
        """What is to be said of the asset beside its state."""
        found = modifiers(self.spec, self.head, is_lost=self.is_lost, is_unsteady=self.is_unsteady)
        good = [Modifier(LAST_GOOD, f"reads {one.asset}@{one.number}, as it cannot be built") for one in self.last_good]
        return (*good, *found)

    @property
    def asset(self) -> AssetKey:
        """The asset key, or the name of the slot of an asset with partitions."""
        return self.spec.key

    @property
    def estimate_s(self) -> float | None:
        """How long it takes to compute the asset, from when it was computed before, in seconds; None: it never was."""
        if self.predicted_s is not None:
            return self.predicted_s
        if self.head is None or self.spec.is_source:
            return None
        return max(0.0, self.head.trace.finished_at - self.head.trace.started_at)

    def to_json(self) -> dict[str, object]:
        """The step as JSON-able values."""
        return {
            "asset": split_slot(self.asset)[0],
            "partition": self.partition or None,
            "action": str(self.action),
            "reasons": [reason.to_json() for reason in self.reasons],
            "base_version": None if self.head is None else self.head.version.number,
            "link_version": None if self.link is None else self.link.version.number,
            "modifiers": [one.to_json() for one in self.modifiers],
            "pin": None if self.pin is None else self.pin.to_json(),
            "estimate": {"seconds": self.estimate_s},
        }


@dataclass(frozen=True)
class Plan:
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

    def _having(self, *actions: Action) -> tuple[Step, ...]:
        return tuple(step for step in self if step.action in actions and not step.spec.is_source)

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
        return len(self.current) + sum(self.settled.values())

    @property
    def saved_s(self) -> float:
        """How long what is current took to compute, in seconds, as far as that is known."""
        return sum(step.estimate_s or 0.0 for step in self.current) + self.settled_s

    @property
    def pinned(self) -> tuple[Step, ...]:
        """The assets that stay at the version that they are pinned to."""
        return self._having(Action.PINNED)

    @property
    def blocked(self) -> tuple[Step, ...]:
        """The assets that cannot be built.

        A source is not there, a pinned version has no bytes, or (without upstreams) an input has no version.
        """
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
            work.append(self.work(name, [step.asset for step in steps], frozenset(above - {name})))
        saved = self.saved_s + sum(step.estimate_s or 0.0 for step in self.link)
        return estimate(work, self.workers, saved)

    def work(self, node: str, keys: Sequence[AssetKey], above: frozenset[str]) -> Work:
        """A function that makes these assets together, after the functions `above`, as estimates see it."""
        known = [seconds for key in keys if (seconds := self.steps[key].estimate_s) is not None]
        return Work(node, tuple(keys), max(known, default=None), above)

    @cached_property
    def root_causes(self) -> tuple[RootCause, ...]:
        """What makes assets run, and how much of the plan each of them explains."""
        planned = {step.asset: step.reasons for step in (*self.run, *self.maybe, *self.link, *self.blocked)}
        below: defaultdict[AssetKey, list[AssetKey]] = defaultdict(list)
        for key in planned:
            for given in self.steps[key].spec.inputs:
                below[given.upstream].append(key)
        return root_causes(planned, lambda key: below[key])

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
        counts = f"run={len(self.run)}, maybe={len(self.maybe)}, link={len(self.link)}, current={self.current_count}"
        return f"<Plan {counts}>"

    def _repr_html_(self) -> str:
        from assetflow.plan.notebook import plan_html

        return plan_html(self)


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
        members = _members(world, wanted, with_upstream)
        steps = _pass(world, members, forced, {}, with_upstream)
        candidates = [key for key, step in steps.items() if step.action in (Action.RUN, Action.MAYBE)]
        if candidates:
            found = world.traces(candidates)
            if found:
                steps = _pass(world, members, forced, found, with_upstream)
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
        raise AssetPinned(
            f"{names} {verb} pinned, and so cannot be forced to run", fix=f"assetflow unpin {shlex.join(keys[:5])}"
        )


def _members(world: World, targets: tuple[AssetKey, ...], with_upstream: bool) -> list[AssetKey]:
    """The targets, what is made together with them, and what they need; what is pinned needs nothing."""
    graph = world.graph
    by_node = siblings(graph)
    found: set[AssetKey] = set()
    waiting = list(targets)
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        found.add(key)
        waiting.extend(by_node.pop(graph.specs[key].node, ()))
        if key in world.pins:
            continue
        if with_upstream:
            waiting.extend(graph.upstream(key))
        else:
            waiting.extend(up for up in graph.upstream(key) if graph.specs[up].is_source)
    return [key for key in graph.order if key in found]


def accepts_last_good(world: World, given: InputSpec) -> bool:
    """Whether an earlier version of an upstream will do when it cannot be built, and there is one with its bytes."""
    up = given.upstream
    is_there = world.head(up) is not None and up not in world.lost and not world.graph.specs[up].is_source
    return given.accept == LAST_GOOD and is_there


def siblings(graph: AssetGraph) -> dict[str, list[AssetKey]]:
    """The assets that each function makes, by node."""
    by_node: defaultdict[str, list[AssetKey]] = defaultdict(list)
    for key, spec in graph.specs.items():
        by_node[spec.node].append(key)
    return by_node


def _pass(
    world: World,
    members: list[AssetKey],
    forced: frozenset[AssetKey],
    traces: Mapping[tuple[AssetKey, str], Mapping[str, Head]],
    with_upstream: bool,
) -> dict[AssetKey, Step]:
    steps: dict[AssetKey, Step] = {}
    for together in _by_function(world.graph, members):
        if world.graph.specs[together[0]].is_source:
            steps.update((key, _source_step(world, world.graph.specs[key])) for key in together)
            continue
        if together[0] in world.settled:
            steps.update((key, _settled_step(world, key)) for key in together)
            continue
        decided = {key: _decide(world, key, steps, traces, forced, with_upstream) for key in together}
        free = {key: decision for key, decision in decided.items() if key not in world.pins}
        for key, decision in {**decided, **_joined(free)}.items():
            head, spec = world.head(key), world.graph.specs[key]
            accepted = [one.upstream for one in spec.inputs if one.accept and _is_blocked(steps.get(one.upstream))]
            steps[key] = Step(
                spec, split_slot(key)[1], decision.action, decision.reasons, head, decision.link,
                pin=world.pins.get(key), is_lost=key in world.lost,
                is_unsteady=head is not None and (key, head.trace.input_key) in world.unsteady,
                seen="" if head is None else seen_words(head.trace, world.discovered),
                last_good=tuple(up.version for key in accepted if (up := world.head(key)) is not None),
            )  # fmt: skip
    return {key: steps[key] for key in members}


def _by_function(graph: AssetGraph, members: list[AssetKey]) -> Iterator[list[AssetKey]]:
    """The members, outputs of one function together, each group after all that any of its assets takes."""
    by_node = siblings(graph)
    inside, done, opened = set(members), set[str](), set[str]()
    for member in members:
        waiting = [] if graph.specs[member].node in done else [graph.specs[member].node]
        while waiting:
            node = waiting[-1]
            together = [key for key in by_node[node] if key in inside]
            above = {graph.specs[up].node for key in together for up in graph.upstream(key) if up in inside}
            # Outputs differ in what their checks read, so one of them may need what stands later in the order.
            needed = above - done - {node} if node not in opened else ()
            opened.add(node)
            if needed:
                waiting.extend(needed)
                continue
            waiting.pop()
            if node not in done:
                done.add(node)
                yield together


def _decide(
    world: World,
    key: AssetKey,
    steps: Mapping[AssetKey, Step],
    traces: Mapping[tuple[AssetKey, str], Mapping[str, Head]],
    forced: frozenset[AssetKey],
    with_upstream: bool,
) -> Decision:
    spec = world.graph.specs[key]
    if key in world.pins:
        return _pinned(world.pins[key], world.head(key), is_lost=key in world.lost)
    contents: dict[AssetKey, Content | None] = {}
    for given in spec.inputs:
        step = steps.get(given.upstream)
        if step is not None and step.action is Action.BLOCKED and not accepts_last_good(world, given):
            return Decision(Action.BLOCKED, (_blocked(given.upstream, step),))
        contents[given.upstream] = _content(world, given.upstream, step)
        if not with_upstream and step is None and contents[given.upstream] is None and given.mode != "order":
            text = f"{given.upstream} has no version"
            return Decision(Action.BLOCKED, (Reason("upstream_missing", text, {"input": given.upstream}),))
    decision = decide(
        spec,
        world.head(key),
        contents,
        traces.get(split_slot(key), {}),
        is_forced=key in forced,
        is_lost=key in world.lost,
        doubt=world.doubts.get(key),
        now=world.discovered,
        at=world.at,
    )
    if not decision.reasons:
        return decision
    return replace(decision, reasons=tuple(_rooted(reason, steps) for reason in decision.reasons))


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


def _blocked(key: AssetKey, step: Step) -> Reason:
    first = step.reasons[0]
    if first.code == "source_unavailable" and step.spec.is_source:
        return Reason("source_unavailable", first.text, {"source": key})
    return replace(first, is_root=False)


def _joined(decided: Mapping[AssetKey, Decision]) -> Mapping[AssetKey, Decision]:
    """Outputs of one function run together: where one runs, the others may change with it; or none of them can.

    Those that are pinned do not take part: they are made along with the others, and not kept.
    """
    if len(decided) <= 1:
        return decided
    blocked = next((one for one in decided.values() if one.action is Action.BLOCKED), None)
    if blocked is not None:
        return {key: one if one.action is Action.CURRENT else blocked for key, one in decided.items()}
    first = next((key for key, one in decided.items() if one.action is Action.RUN), None)
    if first is None:
        return decided  # they read the same, so they wait for the same, or all can stay or be linked
    reason = Reason("made_together", f"made together with {first}", {"with": first}, is_root=False)
    stands = (Action.RUN, Action.MAYBE)
    return {key: one if one.action in stands else Decision(Action.MAYBE, (reason,)) for key, one in decided.items()}
