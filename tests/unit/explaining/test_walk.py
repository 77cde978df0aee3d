"""In any project with any history: what moves has root causes, and each is where the plan says it is."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies as st

from assetflow.explaining.walk import deciders, roots
from assetflow.model.keys import AssetKey
from assetflow.model.spec import InputSpec
from assetflow.plan.planner import Plan, make_plan
from assetflow.plan.staleness import Action
from tests.unit.plan.simulated import Function, Project

MOVING = (Action.RUN, Action.MAYBE, Action.LINK, Action.BLOCKED)
SHAPES = st.sampled_from([("value", ()), ("value", ()), ("columns", ("a",)), ("order", ())])


@st.composite
def projects(draw: st.DrawFn) -> Project:
    """A project with a history of edits, changes of sources, losses, pins and runs."""
    sources = {"s0": "t0", "s1": "t0"}
    known, functions = list(sources), list[Function]()
    for number in range(draw(st.integers(1, 6))):
        name = f"f{number}"
        outputs = (f"{name}x", f"{name}y") if draw(st.integers(0, 3)) == 0 else (name,)
        above = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
        inputs = []
        for place, up in enumerate(above):
            mode, columns = draw(SHAPES)
            is_source = up in sources
            shape = ("value", ()) if is_source else (mode, columns)
            inputs.append(InputSpec("" if shape[0] == "order" else f"p{place}", AssetKey(up), *shape))
        data = [one for one in inputs if one.mode != "order"]
        order = [str(one.upstream) for one in inputs if one.mode == "order"]
        functions.append(
            Function(name, outputs, data, {outputs[0]: order} if order else {}, draw(st.sampled_from([1, 2, 100])))
        )
        known += outputs
    project = Project(sources, functions)
    for _ in range(draw(st.integers(0, 6))):
        step(project, draw)
    return project


def step(project: Project, draw: st.DrawFn) -> None:
    keys = [AssetKey(key) for key in project.maker]
    match draw(st.sampled_from(["run", "run", "code", "config", "source", "gone", "lose", "pin"])):
        case "run":
            targets = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True))
            broken = draw(st.lists(st.sampled_from(sorted(project.functions)), max_size=1))
            project.carry_out(make_plan(project.world(), targets), (), broken)
        case "code":
            project.functions[draw(st.sampled_from(sorted(project.functions)))].code = draw(st.integers(0, 5))
        case "config":
            project.functions[draw(st.sampled_from(sorted(project.functions)))].config["n"] = draw(
                st.sampled_from("12")
            )
        case "source":
            project.sources[draw(st.sampled_from(["s0", "s1"]))] = draw(st.sampled_from(["t0", "t1"]))
        case "gone":
            project.sources[draw(st.sampled_from(["s0", "s1"]))] = None
        case "lose":
            for key, memory in project.current.items():
                if draw(st.booleans()):
                    project.lost.add((key, memory.head.version.number))
        case _:
            project.pinned = set(draw(st.lists(st.sampled_from(sorted(project.current) or [""]), max_size=1))) - {""}


def planned(project: Project) -> Plan:
    return make_plan(project.world(), project.graph().order)


@given(projects())
def test_what_moves_has_a_root_cause_and_what_stays_has_none(project: Project) -> None:
    plan = planned(project)

    for key, one in plan.steps.items():
        if one.spec.is_source:
            continue
        found = roots(plan, key)
        if one.action in MOVING:
            assert found, f"{key} would {one.action} for {[reason.code for reason in one.reasons]}"
        elif one.action is Action.CURRENT:
            assert not found


@given(projects())
def test_every_root_cause_is_a_root_reason_of_its_asset_and_the_way_is_a_way(project: Project) -> None:
    plan = planned(project)
    graph = project.graph()

    for key in plan.steps:
        for one in roots(plan, key):
            assert one.path[-1] == key
            assert one.reason.is_root
            assert one.reason in plan.steps[one.path[0]].reasons
            for above, below in pairwise(one.path):
                together = plan.steps[above].spec.node == plan.steps[below].spec.node
                assert together or above in graph.upstream(below)


@given(projects())
def test_only_what_waits_has_deciders_and_they_move(project: Project) -> None:
    plan = planned(project)

    for one in plan:
        found = deciders(plan, one)
        assert one.action is Action.MAYBE or not found
        assert all(plan.steps[key].action in MOVING for key in found)
