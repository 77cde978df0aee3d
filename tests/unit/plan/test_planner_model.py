"""Random projects with random histories: after every change the plan must say what the oracle says."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from assetflow.errors import AssetPinned
from assetflow.model.keys import AssetKey
from assetflow.model.records import Head
from assetflow.model.spec import InputSpec
from assetflow.plan.planner import Plan, Step, make_plan
from assetflow.plan.staleness import Action, Content, Decision, decide
from tests.unit.plan.oracle import Answer, Oracle
from tests.unit.plan.simulated import Function, Project, content_of

TOKENS = st.sampled_from(["t0", "t1"])
CODES = st.integers(0, 5)
SHAPES = st.sampled_from(
    [("value", ()), ("value", ()), ("columns", ("a",)), ("columns", ("b", "a")), ("columns", ("z",))]
)
INDEX = st.integers(0, 99)


class Histories(RuleBasedStateMachine):
    """Rules are what happens to a project; the invariants compare plans of it with the oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.project = Project({}, [])
        self.past: list[tuple[dict[str, str | None], dict[str, Function]]] = []

    @initialize(data=st.data())
    def declare(self, data: st.DataObject) -> None:
        draw = data.draw
        sources = {f"s{number}": draw(TOKENS) for number in range(draw(st.integers(1, 2)))}
        known, functions = list(sources), list[Function]()
        for number in range(draw(st.integers(2, 5))):
            name = f"f{number}"
            outputs = (f"{name}x", f"{name}y") if draw(st.integers(0, 3)) == 0 else (name,)
            above = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
            inputs = [InputSpec(f"p{place}", AssetKey(up), *draw(SHAPES)) for place, up in enumerate(above)]
            built = [key for key in known if key not in sources and key not in above]
            after = {outputs[-1]: [draw(st.sampled_from(built))]} if built and draw(st.integers(0, 2)) == 0 else {}
            functions.append(Function(name, outputs, inputs, after, draw(st.sampled_from([1, 2, 2, 100]))))
            known += outputs
        self.project = Project(sources, functions, is_declared_backwards=draw(st.booleans()))
        if draw(st.integers(0, 4)):
            self.materialize_all()

    def function(self, index: int) -> Function:
        return list(self.project.functions.values())[index % len(self.project.functions)]

    @rule(index=INDEX, code=CODES)
    def change_code(self, index: int, code: int) -> None:
        self.function(index).code = code

    @rule(index=INDEX, field=st.sampled_from(["rate", "limit"]), value=st.sampled_from(["1", "2", None]))
    def change_config(self, index: int, field: str, value: str | None) -> None:
        config = self.function(index).config
        config.pop(field, None) if value is None else config.update({field: value})

    @rule(index=INDEX, token=TOKENS)
    def change_source(self, index: int, token: str | None) -> None:
        self.project.sources[list(self.project.sources)[index % len(self.project.sources)]] = token

    @rule(index=INDEX)
    def take_a_source_away(self, index: int) -> None:
        if index % 3 == 0:
            self.change_source(index, None)

    @precondition(lambda self: self.past)
    @rule(index=INDEX)
    def go_back(self, index: int) -> None:
        then = self.past[index % len(self.past)]
        if index % 2:
            self.materialize_all()
        self.project.sources, self.project.functions = deepcopy(then)

    @rule(index=INDEX, other=INDEX, shape=SHAPES, name=st.sampled_from(["p0", "p1", ""]))
    def take_an_input(self, index: int, other: int, shape: tuple[str, tuple[str, ...]], name: str) -> None:
        function = self.function(index)
        place = list(self.project.functions).index(function.name)
        earlier = [output for one in list(self.project.functions.values())[:place] for output in one.outputs]
        upstream = AssetKey([*self.project.sources, *earlier][other % (len(self.project.sources) + len(earlier))])
        is_taken = any(one.upstream == upstream for one in function.inputs)
        if is_taken or (not name and upstream not in self.project.sources):
            return  # an asset in `deps` would be needed in order only
        given = InputSpec(name, upstream, *shape) if name else InputSpec("", upstream, "version")
        kept = [one for one in function.inputs if one.parameter != name or not name]
        function.inputs = [*kept, given]

    @rule(index=INDEX, other=INDEX)
    def drop_an_input(self, index: int, other: int) -> None:
        function = self.function(index)
        if function.inputs:
            function.inputs = [
                one for place, one in enumerate(function.inputs) if place != other % len(function.inputs)
            ]

    @rule(index=INDEX, other=INDEX, shape=SHAPES)
    def read_other_columns(self, index: int, other: int, shape: tuple[str, tuple[str, ...]]) -> None:
        function = self.function(index)
        for place, one in enumerate(function.inputs):
            if one.parameter and place == other % len(function.inputs):
                function.inputs[place] = replace(one, mode=shape[0], columns=shape[1])

    @precondition(lambda self: any(key not in self.project.sources for key in self.project.current))
    @rule(index=INDEX)
    def lose_bytes(self, index: int) -> None:
        built = sorted(key for key in self.project.current if key not in self.project.sources)
        key = built[index % len(built)]
        self.project.lost.add((key, self.project.current[key].head.version.number))

    @precondition(lambda self: any(key not in self.project.sources for key in self.project.current))
    @rule(index=INDEX)
    def pin(self, index: int) -> None:
        built = sorted(key for key in self.project.current if key not in self.project.sources)
        self.project.pinned.add(built[index % len(built)])

    @precondition(lambda self: self.project.pinned)
    @rule(index=INDEX)
    def unpin(self, index: int) -> None:
        self.project.pinned.discard(sorted(self.project.pinned)[index % len(self.project.pinned)])

    @precondition(lambda self: any(key not in self.project.sources for key in self.project.current))
    @rule(index=INDEX, other=INDEX)
    def roll_back(self, index: int, other: int) -> None:
        built = sorted(key for key in self.project.current if key not in self.project.sources)
        key = built[index % len(built)]
        live = self.project.live(key)
        if live:
            self.project.move_back(key, live[other % len(live)])

    @rule(pick=st.sets(INDEX, min_size=1, max_size=2), with_upstream=st.booleans(), force=st.booleans(), broken=INDEX)
    def materialize_some(self, pick: set[int], with_upstream: bool, force: bool, broken: int) -> None:
        keys = sorted(self.project.maker)
        targets = {keys[index % len(keys)] for index in pick}
        fails = {self.function(broken).name} if broken % 3 == 0 else set[str]()
        if force and targets & self.project.pinned:
            with pytest.raises(AssetPinned):
                self.compare(targets, with_upstream, targets)
            force = False
        self.materialize(targets, with_upstream, targets if force else set(), fails)

    @rule()
    def materialize_all(self) -> None:
        self.materialize({*self.project.maker}, True, set(), set())
        plan = make_plan(self.project.world(), [AssetKey(key) for key in self.project.maker])

        assert [step.asset for step in plan if str(step.action) not in ("current", "pinned", "blocked")] == []
        assert plan.changed_sources == ()

    def materialize(self, targets: set[str], with_upstream: bool, forced: set[str], broken: set[str]) -> None:
        plan = self.compare(targets, with_upstream, forced)
        self.past.append(deepcopy((self.project.sources, self.project.functions)))
        kept = {key: self.project.current[key] for key in self.project.pinned}
        ran, linked = self.project.carry_out(plan, forced, broken)

        assert {key: self.project.current[key] for key in self.project.pinned} == kept
        assert not (ran | linked) & self.project.pinned
        assert ran <= {step.asset for step in (*plan.run, *plan.maybe)}
        assert linked <= {step.asset for step in (*plan.run, *plan.maybe, *plan.link)}
        if not broken:
            assert {step.asset for step in plan.link} <= linked

    @invariant()
    def plan_says_what_the_oracle_says(self) -> None:
        if self.project.maker:
            plan = self.compare({*self.project.maker}, True, set())
            for step in plan.current:
                assert self.project.table(step.asset) == self.project.evaluate(step.asset)
            assert {step.asset for step in plan.pinned} == {
                k for k in self.project.pinned if not self.project.is_lost(k)
            }
            for key in list(self.project.maker)[-2:]:
                self.compare({key}, False, set())

    def compare(self, targets: set[str], with_upstream: bool, forced: set[str]) -> Plan:
        world = self.project.world()
        keys, hard = [AssetKey(key) for key in targets], frozenset(AssetKey(key) for key in forced)
        plan = make_plan(world, keys, with_upstream=with_upstream, forced=hard)
        oracle = Oracle(self.project, targets, with_upstream, forced)

        assert set(plan.steps) == oracle.members()
        answers = {str(key): oracle.answer(key) for key in plan.steps}
        assert {key: str(step.action) for key, step in plan.steps.items()} == {
            key: answer.action for key, answer in answers.items()
        }
        for step in plan:
            if not step.spec.is_source:
                self.check(plan, step, answers)
        return plan

    def check(self, plan: Plan, step: Step, answers: Mapping[str, Answer]) -> None:
        """The reasons of a step are true, and there are no others."""
        answer = answers[step.asset]
        told = {(one.code, str(one.data.get("input", one.data.get("field", "")))) for one in step.reasons}
        match step.action:
            case Action.CURRENT:
                assert not told
            case Action.PINNED:
                assert told == {("pinned", "")}
            case Action.BLOCKED:
                [reason] = step.reasons
                if reason.code == "data_missing":
                    assert reason.is_root == (step.pin is not None)
                    assert any(self.project.is_lost(key) for key in self.project.pinned)
                    return
                subject = str(reason.data.get("source", reason.data.get("input")))
                assert reason.code in ("source_unavailable", "upstream_missing")
                assert self.project.sources.get(subject) is None
                assert self.project.table(subject) is None or reason.code == "source_unavailable"
            case Action.MAYBE:
                [reason] = step.reasons
                assert not reason.is_root
                if reason.code == "made_together":
                    other = plan[str(reason.data["with"])]
                    assert (other.spec.node, other.action) == (step.spec.node, Action.RUN)
                else:
                    ups = [one.upstream for one in step.spec.inputs if one.mode != "order"]
                    assert reason.code == "upstream_runs"
                    assert reason.data["inputs"] == [up for up in ups if up in answers and answers[up].table is None]
            case Action.LINK | Action.RUN:
                # A version that is read in another way and is another version: both are told.
                reshaped = {("input_changed", one.upstream) for one in step.spec.inputs if ("code_changed", "") in told}
                assert answer.causes
                assert answer.causes <= told <= answer.causes | reshaped
                assert (step.link and step.link.version) == (answer.link and answer.link.head.version)
                if step.head is not None:
                    assert self.without_its_causes(step, step.head, answers).action is Action.CURRENT

    def without_its_causes(self, step: Step, head: Head, answers: Mapping[str, Answer]) -> Decision:
        """The decision if nothing that the reasons name had happened."""
        spec, was_read = step.spec, {(one.parameter, one.upstream): one for one in head.trace.inputs}
        before = self.project.current[step.asset].recipe.reads
        old = {
            (one.parameter, one.upstream): InputSpec(one.parameter, AssetKey(one.upstream), one.mode, one.columns)
            for one in before
        }
        inputs = {(one.parameter, one.upstream): one for one in spec.inputs if one.mode != "order"}
        changed = set[object]()
        for reason in step.reasons:
            pair = (str(reason.data.get("parameter")), AssetKey(str(reason.data.get("input"))))
            match reason.code:
                case "code_changed" | "helper_changed":  # annotations are code: old code read its inputs in the old way
                    spec = replace(spec, code=head.trace.code)
                    inputs = {pair: old.get(pair, one) for pair, one in inputs.items()}
                case "config_changed":
                    name, value = str(reason.data["field"]), reason.data["from"]
                    rest = {field: text for field, text in (spec.config or {}).items() if field != name}
                    spec = replace(spec, config=rest if value is None else {**rest, name: str(value)})
                case "input_added":
                    del inputs[pair]
                case "input_removed":
                    inputs[pair] = old[pair]
                    changed.add(pair[1])
                case "input_changed":
                    changed.add(pair[1])
                case other:
                    assert other in ("forced", "data_missing")
        contents: dict[AssetKey, Content | None] = {}
        for pair, one in inputs.items():
            number = was_read[pair].version_number
            now = answers[one.upstream].table if one.upstream in answers else self.project.table(one.upstream)
            assert number is not None
            if now is None or one.upstream in changed:
                now = self.project.tables[one.upstream, number]
            contents[one.upstream] = content_of(now, number)
        return decide(replace(spec, inputs=tuple(inputs.values())), head, contents, {})


# More and longer histories than other state machines get: about five seconds of them where others take one.
TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=2 * settings().max_examples, stateful_step_count=20)
