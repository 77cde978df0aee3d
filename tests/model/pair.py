"""A project beside its model: how it is looked at, and what a run is believed of."""

from __future__ import annotations

import json
import time

from assetflow.model.records import Head
from assetflow.plan.planner import Plan
from tests.model.judge import Disagreement, compare
from tests.model.model import Foretold, Model
from tests.model.story import Function, Question
from tests.model.world import World
from tests.model.written import TTL_S, helper_values


class Pair:
    """One project and its model."""

    def __init__(self, seed: int = 0) -> None:
        self.world, self.model = World(), Model()
        self.backwards, self.accepts = seed % 3 == 1, seed % 2 == 0
        self.past: list[tuple[list[Function], dict[str, int], dict[str, str | None]]] = []
        self.heads: dict[str, Head] = {}
        self.born = 0
        self.asked: dict[str, str | None] = dict.fromkeys(("s0", "s1", "s2"), '{"t": 0}')

    # -- looking

    def declare(self) -> None:
        """Load the project as it is written now."""
        self.model.helpers = helper_values(self.model.bodies)
        self.world.declare(self.model.functions, self.model.bodies, backwards=self.backwards)

    def look(self) -> None:
        """Plan everything, and compare."""
        plan = self.world.project.plan()
        self.note(plan)
        everything = Question({*self.model.keys, *self.model.sources})
        compare(plan, self.model, everything)
        for step in plan.current:
            value, meant = self.model.current[step.asset].value, self.model.evaluate(step.asset)
            if value != meant and not self.model.accepted:
                raise Disagreement(f"{step.asset} is current with {value}, and evaluates to {meant}")

    def note(self, plan: Plan) -> None:
        """What a plan shows of the heads, and of sources whose answers hold for a while."""
        self.heads = {str(step.asset): step.head for step in plan if step.head is not None}
        for key, memory in self.model.current.items():
            if key in self.heads and self.heads[key].trace.trace_id != memory.trace:
                raise Disagreement(f"the head of {key} moved without being asked")
        if extra := self.heads.keys() - self.model.current.keys():
            raise Disagreement(f"{sorted(extra)} have heads, and nobody made them")
        self.see_sources()

    def see_sources(self) -> None:
        """The tokens that a plan finds now."""
        self.model.sources = dict(self.asked)
        head = self.heads.get("s2")
        if head is not None and "s2" in self.model.current and time.time() - head.verified_at < TTL_S:
            self.model.sources["s2"] = self.model.current["s2"].value

    # -- what rules have in common

    def _function(self, number: int) -> int:
        return number % len(self.model.functions)

    def _targets(self, a: int, b: int) -> list[str]:
        keys = self.model.keys
        return sorted({keys[a % len(keys)], keys[b % len(keys)]})

    def _built(self) -> list[str]:
        return [key for key in self.model.keys if key in self.model.current]

    def set_source(self, key: str, token: str | None) -> None:
        self.asked[key] = token
        self.world.set_source(key, token)
        self.see_sources()

    def _heads_now(self) -> dict[str, Head]:
        return {str(step.asset): step.head for step in self.world.project.plan() if step.head is not None}

    def _take_in(self, asked: Question, foretold: Foretold, before: int, *, is_partial: bool) -> None:
        """Believe of what was foretold what the heads show, and see that it is all, or what came first."""
        heads = self._heads_now()
        done = {key for key, head in heads.items() if head.trace.trace_id > before}
        if unexpected := done - foretold.memories.keys():
            raise Disagreement(f"{sorted(unexpected)} were recorded, and nothing was to be done for them")
        missing = foretold.memories.keys() - done
        if missing and not is_partial:
            raise Disagreement(f"{sorted(missing)} were not recorded")
        for key in done:
            if key not in self.model.sources and missing & self._needed(key):
                raise Disagreement(f"{key} was recorded before {sorted(missing & self._needed(key))}")
            state = foretold.states[key]
            self.model.commit(key, state, foretold.memories[key], heads[key])
            if (
                key not in self.model.sources
                and json.dumps(self.world.read(heads[key])) != self.model.current[key].value
            ):
                raise Disagreement(f"{key} is stored as {self.world.read(heads[key])}")

    def _needed(self, key: str) -> set[str]:
        return {one.upstream for one in self.model.maker(key).inputs}
