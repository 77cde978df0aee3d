"""The rules: what happens to a project, one step at a time. Each takes four numbers, so that any history can be cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from assetflow.errors import AssetPinned, DamagedVersion, NoSuchVersion, UsageError
from assetflow.model.records import Head
from assetflow.plan.planner import Plan
from tests.model.judge import Disagreement, compare
from tests.model.model import COMMITS, FAILS, Foretold, Model
from tests.model.story import Function, Input, Question
from tests.model.world import World
from tests.model.written import HELPERS, TTL_S, WEATHER, helper_values

Op = tuple[str, int, int, int, int]
"""A step: the name of a rule and the numbers that it is given."""

MOST_FUNCTIONS = 6
SHAPES = ((), (), ("a",), ("b",), ("b", "a"), ("z",))
CONFIGS = (None, ("0", "0"), ("0", "1"), ("1", "0"))


class Machine:
    """One project with its model; `step` does one thing to both and compares them."""

    def __init__(self, seed: int = 0) -> None:
        self.world, self.model = World(), Model()
        self.backwards, self.accepts = seed % 3 == 1, seed % 2 == 0
        self.past: list[tuple[list[Function], dict[str, int], dict[str, str | None]]] = []
        self.heads: dict[str, Head] = {}
        self.born = 0
        self.asked: dict[str, str | None] = dict.fromkeys(("s0", "s1", "s2"), '{"t": 0}')

    def begin(self) -> None:
        """Write the first functions, and compare."""
        WEATHER.__init__()
        for key, token in self.asked.items():
            self.world.set_source(key, token)
        with self.world.clock():
            for name, numbers in (("add", (7, 0, 1, 3)), ("add", (7, 8, 1, 8)), ("add", (13, 15, 3, 7))):
                self._rule(name)(*numbers)
            self.declare()
            self.look()

    def close(self) -> None:
        self.world.close()

    def step(self, op: Op) -> None:
        """Do one thing, and compare what the plan says with the reference."""
        with self.world.clock():
            self._rule(op[0])(*op[1:])
            self.look()

    def finish(self) -> None:
        """Incremental equals from scratch: the same data hashes as in an empty project, and then nothing runs."""
        with self.world.clock():
            for key in [key for key, token in self.asked.items() if token is None]:
                self.set_source(key, '{"t": 0}')
            self.unpin_all()
            self.look()
            self.run(None, fails=False)
            self.look()
            if self.world.project.materialize().run_id is not None:
                raise Disagreement("a second run does something")
            made = {key: self.heads[key].version.data_hash for key in self.model.keys}
        other = World()
        try:
            other.declare(self.model.functions, self.model.bodies, backwards=self.backwards)
            for key, token in self.asked.items():
                other.set_source(key, token)
            other.materialize(None)
            fresh = {str(step.asset): step.head for step in other.project.plan() if not step.spec.is_source}
            hashes = {key: head.version.data_hash for key, head in fresh.items() if head is not None}
        finally:
            other.close()
        if made != hashes and not self.model.accepted:
            raise Disagreement(f"incremental {made}, from scratch {hashes}")

    def _rule(self, name: str) -> Callable[[int, int, int, int], None]:
        return getattr(self, f"on_{name}")

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
        import time

        self.model.sources = dict(self.asked)
        head = self.heads.get("s2")
        if head is not None and "s2" in self.model.current and time.time() - head.verified_at < TTL_S:
            self.model.sources["s2"] = self.model.current["s2"].value

    # -- edits

    def _function(self, number: int) -> int:
        return number % len(self.model.functions)

    def _edit(self, place: int, **changes: object) -> None:
        self.model.functions[place] = replace(self.model.functions[place], **changes)
        self.declare()

    def _above(self, place: int, number: int, *, unread: bool = False) -> str:
        """A source or an output of an earlier function; s2 can only be in deps."""
        earlier = [output for one in self.model.functions[:place] for output in one.outputs]
        choices = [*reversed(earlier), *earlier, "s0", "s1", *(["s2"] if unread else [])]
        return choices[number % len(choices)]

    def _input(self, place: int, name: str, number: int) -> Input:
        kind = number // 7 % 6
        if kind == 0:
            upstream = self._above(place, number, unread=True)
            return Input("", upstream, "version" if upstream in self.asked else "order")
        columns = SHAPES[number // 3 % len(SHAPES)]
        upstream = self._above(place, number)
        columns = () if upstream in self.asked else columns
        return Input(name, upstream, "columns" if columns else "value", columns)

    def on_add(self, a: int, b: int, c: int, d: int) -> None:
        if len(self.model.functions) >= MOST_FUNCTIONS:
            return
        place, name = len(self.model.functions), f"f{self.born}"
        self.born += 1
        outputs = (f"{name}x", f"{name}y") if d % 5 == 0 else (name,)
        inputs = [self._input(place, "p0", a)]
        if b % 3 and (more := self._input(place, "p1", b)).upstream != inputs[0].upstream:
            inputs.append(more)
        checked = outputs[-1] if c % 3 == 0 else ""
        earlier = [output for one in self.model.functions for output in one.outputs]
        if checked and c % 2 and earlier and (other := earlier[c % len(earlier)]) not in {i.upstream for i in inputs}:
            inputs.append(Input("", other, "order", (), checked))
        helper = ("", *HELPERS)[d % 3]
        function = Function(outputs, tuple(inputs), c % 3, helper, (2, 1, 3, 2, 900)[d % 5], None, 0, checked)
        self.model.functions.append(function)
        self.declare()

    def on_remove(self, a: int, b: int, c: int, d: int) -> None:
        if len(self.model.functions) < 2:
            return
        gone = self.model.functions[self._function(a)]
        kept = [one for one in self.model.functions if one is not gone]
        self.model.functions = [
            replace(one, inputs=tuple(i for i in one.inputs if i.upstream not in gone.outputs)) for one in kept
        ]
        self.declare()

    def on_rename(self, a: int, b: int, c: int, d: int) -> None:
        place = self._function(a)
        old = self.model.functions[place]
        if len(old.outputs) > 1 or (self.born > 40):
            return
        name = f"f{self.born}"
        self.born += 1
        own = tuple(replace(one, output=name if one.output else "") for one in old.inputs)
        self.model.functions[place] = replace(old, outputs=(name,), inputs=own, checked=name if old.checked else "")
        for other, function in enumerate(self.model.functions):
            inputs = tuple(replace(i, upstream=name) if i.upstream in old.outputs else i for i in function.inputs)
            self.model.functions[other] = replace(function, inputs=inputs)
        self.declare()

    def on_body(self, a: int, b: int, c: int, d: int) -> None:
        self._edit(self._function(a), body=b % 4)

    def on_coarse(self, a: int, b: int, c: int, d: int) -> None:
        self._edit(self._function(a), coarse=(1, 2, 3, 900)[b % 4])

    def on_helper(self, a: int, b: int, c: int, d: int) -> None:
        self.model.bodies[HELPERS[a % 2]] = b % 3
        self.declare()

    def on_use_helper(self, a: int, b: int, c: int, d: int) -> None:
        self._edit(self._function(a), helper=("", *HELPERS)[b % 3])

    def on_comment(self, a: int, b: int, c: int, d: int) -> None:
        self._edit(self._function(a), comment=b % 6)

    def on_config(self, a: int, b: int, c: int, d: int) -> None:
        chosen = CONFIGS[b % len(CONFIGS)]
        config = None if chosen is None else (("limit", chosen[0]), ("rate", chosen[1]))
        self._edit(self._function(a), config=config)

    def on_take(self, a: int, b: int, c: int, d: int) -> None:
        place = self._function(a)
        function = self.model.functions[place]
        given = self._input(place, ("p0", "p1", "p2")[c % 3], b)
        rest = [i for i in function.inputs if not given.parameter or i.parameter != given.parameter]
        if given.upstream not in {i.upstream for i in rest} and len(rest) < 3:
            self._edit(place, inputs=(*rest, given))

    def on_remap(self, a: int, b: int, c: int, d: int) -> None:
        """The same parameter gets another asset: no line of the function changes."""
        place = self._function(a)
        inputs = list(self.model.functions[place].inputs)
        upstream = self._above(place, c)
        for n, one in enumerate(inputs):
            is_same_kind = (one.upstream in self.asked) == (upstream in self.asked)
            if one.parameter and n == b % len(inputs) and is_same_kind and upstream not in {i.upstream for i in inputs}:
                inputs[n] = replace(one, upstream=upstream)
        self._edit(place, inputs=tuple(inputs))

    def on_drop(self, a: int, b: int, c: int, d: int) -> None:
        place = self._function(a)
        inputs = self.model.functions[place].inputs
        if inputs:
            self._edit(place, inputs=tuple(one for n, one in enumerate(inputs) if n != b % len(inputs)))

    def on_columns(self, a: int, b: int, c: int, d: int) -> None:
        place = self._function(a)
        inputs = list(self.model.functions[place].inputs)
        for n, one in enumerate(inputs):
            if one.parameter and one.upstream not in self.asked and n == b % len(inputs):
                columns = SHAPES[c % len(SHAPES)]
                inputs[n] = replace(one, mode="columns" if columns else "value", columns=columns)
        self._edit(place, inputs=tuple(inputs))

    def on_revert(self, a: int, b: int, c: int, d: int) -> None:
        if self.past:
            functions, bodies, sources = self.past[a % len(self.past)]
            self.model.functions, self.model.bodies = list(functions), dict(bodies)
            for key, token in sources.items() if b % 2 else ():
                self.set_source(key, token)
            self.declare()

    # -- the world around

    def set_source(self, key: str, token: str | None) -> None:
        self.asked[key] = token
        self.world.set_source(key, token)
        self.see_sources()

    def on_source(self, a: int, b: int, c: int, d: int) -> None:
        self.set_source(f"s{a % 3}", json.dumps({"t": b % 3}))

    def on_source_away(self, a: int, b: int, c: int, d: int) -> None:
        self.set_source(f"s{a % 3}", None)

    def on_clock(self, a: int, b: int, c: int, d: int) -> None:
        self.world.offset += (1800, 5400, 86400, -1800, -5400)[a % 5]
        self.see_sources()

    # -- runs

    def _targets(self, a: int, b: int) -> list[str]:
        keys = self.model.keys
        return sorted({keys[a % len(keys)], keys[b % len(keys)]})

    def on_all(self, a: int, b: int, c: int, d: int) -> None:
        self.run(None, fails=a % 3 == 0 and self._break(b, c))

    def on_some(self, a: int, b: int, c: int, d: int) -> None:
        self.run(
            self._targets(a, b), with_upstream=d % 3 != 0, force=d % 4 == 0, fails=c % 2 == 0 and self._break(c, d)
        )

    def _break(self, a: int, b: int) -> bool:
        """Let something go wrong in the next run."""
        function = self.model.functions[self._function(a)]
        kind = b % 3
        if kind == 0:
            WEATHER.fails.add(function.outputs[0])
        elif kind == 1:
            WEATHER.skips.add(function.outputs[0])
        WEATHER.rejects.update(one.checked for one in self.model.functions if one.checked and kind == 2)
        return True

    def on_killed(self, a: int, b: int, c: int, d: int) -> None:
        asked, foretold = self._foretell(None if a % 2 else self._targets(a, b), with_upstream=True, force=False)
        before = self.world.newest_trace()
        targets = None if a % 2 else sorted(asked.targets)
        was_killed = self.world.materialize_and_die(targets, 1 + c + (100 * d if d % 3 == 0 else 0))
        self._take_in(asked, foretold, before, is_partial=was_killed)
        if was_killed or foretold.states:
            self.model.last.update(dict.fromkeys(self.model.members(asked)))

    def on_interrupted(self, a: int, b: int, c: int, d: int) -> None:
        if not self.model.functions:
            return
        function = self.model.functions[self._function(a)]
        asked, foretold = self._foretell(None, with_upstream=True, force=False)
        before = self.world.newest_trace()
        WEATHER.interrupts.add(function.outputs[0])
        result, _ = self.world.materialize(None)
        WEATHER.interrupts.clear()
        if result.interrupted != (function.outputs[0] in WEATHER.ran):
            raise Disagreement(f"interrupted: {result.interrupted}, ran {WEATHER.ran}")
        self._take_in(asked, foretold, before, is_partial=result.interrupted)
        self.model.last.update(dict.fromkeys(self.model.members(asked)))

    def run(self, targets: list[str] | None, *, fails: bool, with_upstream: bool = True, force: bool = False) -> None:
        """A run that ends; what it does is foretold."""
        options = {"with_upstream": with_upstream, "force": force}
        if force and set(targets or self.model.keys) & self.model.pinned:
            try:
                self.world.materialize(targets, **options)
            except AssetPinned:
                force = options["force"] = False
            else:
                raise Disagreement("what is pinned was forced")
        asked, foretold = self._foretell(targets, **options)
        self.past.append((list(self.model.functions), dict(self.model.bodies), dict(self.asked)))
        before = self.world.newest_trace()
        answers = {key: self.model.answer(key, asked) for key in self.model.members(asked)}
        result, plan = self.world.materialize(targets, **options)
        if plan is not None:
            compare(plan, self.model, asked, with_failures=False)
        states = {str(one.asset): one.state for one in result}
        meant = {key: state for key, state in foretold.states.items() if state != "observed"}
        if states != meant or WEATHER.ran != sorted(foretold.ran, key=WEATHER.ran.index):
            errors = [(one.asset, one.error.message) for one in result if one.error is not None]
            raise Disagreement(f"the run {states}, foretold {meant}; ran {WEATHER.ran}, {foretold.ran}; {errors}")
        for key, state in states.items():
            if state in (*COMMITS, *FAILS) and answers[key].action not in ("run", "maybe", "link", "blocked"):
                raise Disagreement(f"{key} was {state}, and the plan had it as {answers[key].action}")
        self._take_in(asked, foretold, before, is_partial=False)
        run_id = result.run_id or 0
        self.model.last.update({key: (state, run_id) for key, state in states.items() if state != "cut_off"})
        if result.ok != (not set(states.values()) & {*FAILS, "blocked"}):
            raise Disagreement(f"ok is {result.ok} with {states}")
        for known in (WEATHER.fails, WEATHER.skips, WEATHER.rejects):
            known.clear()
        if targets is None and not fails and result.ok and not self.model.pinned:
            plan = self.world.project.plan()
            if not plan.is_empty or plan.changed_sources:
                raise Disagreement(f"after a green run there is something to do: {plan}")

    def _foretell(self, targets: list[str] | None, *, with_upstream: bool, force: bool) -> tuple[Question, Foretold]:
        WEATHER.ran.clear()
        everything = [*self.model.keys, *self.model.sources] if targets is None else targets
        asked = Question(everything, with_upstream, everything if force else ())
        return asked, self.model.foretell(asked, WEATHER)

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

    def _heads_now(self) -> dict[str, Head]:
        return {str(step.asset): step.head for step in self.world.project.plan() if step.head is not None}

    def _needed(self, key: str) -> set[str]:
        return {one.upstream for one in self.model.maker(key).inputs}

    # -- moving pointers

    def _built(self) -> list[str]:
        return [key for key in self.model.keys if key in self.model.current]

    def on_rollback(self, a: int, b: int, c: int, d: int) -> None:
        built = self._built()
        if not built:
            return
        key = built[a % len(built)]
        numbers = sorted({one.number for one in self.model.memories[key]})
        number = numbers[b % len(numbers)]
        is_gone = (key, number) in self.model.gone
        try:
            done = self.world.project.rollback(key, to=number, downstream=c % 3 == 0)
        except (NoSuchVersion, DamagedVersion, UsageError) as error:
            if not is_gone and c % 3:
                raise Disagreement(f"{key} does not go back to v{number}: {error}") from error
            return
        if is_gone and any(move.asset == key and move.before != number for move in done.moves):
            raise Disagreement(f"{key} went back to v{number}, which has no bytes")
        self._moved({str(move.asset): move.after for move in done.moves})

    def on_pin(self, a: int, b: int, c: int, d: int) -> None:
        built = self._built()
        if built:
            key = built[a % len(built)]
            try:
                done = self.world.project.pin(key)
            except (NoSuchVersion, DamagedVersion) as error:
                if not self.model.is_lost(key):
                    raise Disagreement(f"{key} cannot be pinned: {error}") from error
                return
            self._moved({str(move.asset): move.after for move in done.moves})

    def _moved(self, numbers: dict[str, int]) -> None:
        for key, head in self._heads_now().items():
            if key in numbers:
                if head.version.number != numbers[key]:
                    raise Disagreement(f"{key} is at v{head.version.number}, not v{numbers[key]}")
                self.model.repoint(key, head)
                self.model.pinned.add(key)

    def on_unpin(self, a: int, b: int, c: int, d: int) -> None:
        pinned = sorted(self.model.pinned & set(self.model.keys))
        if pinned:
            key = pinned[a % len(pinned)]
            self.world.project.unpin(key)
            self.model.pinned.discard(key)

    def unpin_all(self) -> None:
        pinned = sorted(self.model.pinned & set(self.model.keys))
        if pinned:
            self.world.project.unpin(pinned)
            self.model.pinned.difference_update(pinned)

    # -- what people say

    def on_accept(self, a: int, b: int, c: int, d: int) -> None:
        """What is accepted need not be what computing gives, so in half of the histories nobody accepts."""
        if not self.accepts:
            return
        keys = self._targets(a, b)
        if d % 2:  # an edit that somebody takes for one that changes nothing
            place = next(n for n, one in enumerate(self.model.functions) if keys[0] in one.outputs)
            self._edit(place, body=(self.model.functions[place].body + 1) % 4)
        foretold, before = self.model.foretell_accepted(keys), self.world.newest_trace()
        project = self.world.project
        done = project.mark(keys, "current", reason="sure") if c % 3 == 0 else project.accept(keys)
        meant = {key for key, state in foretold.states.items() if state == "accepted"}
        if {str(key) for key, _ in done.assets} != meant:
            raise Disagreement(f"accepted {done}, foretold {meant}")
        self._take_in(Question(keys), foretold, before, is_partial=False)
        self.model.accepted |= bool(meant)

    def on_revoke(self, a: int, b: int, c: int, d: int) -> None:
        keys = [key for key in self.model.keys if any(one.kind == "accept" for one in self.model.memories.get(key, ()))]
        if not keys:
            return
        key = keys[a % len(keys)]
        done = self.world.project.revoke(key)
        try:
            back = self.model.revoke(key)
        except StopIteration:
            if done.assets:
                raise Disagreement(f"{key} has nothing that could be revoked: {done}") from None
            return
        if back is not None:
            self.model.repoint(key, self._heads_now()[key])
            if self.model.current[key].trace != back:
                raise Disagreement(f"{key} is back at trace {self.model.current[key].trace}, not {back}")

    def on_invalidate(self, a: int, b: int, c: int, d: int) -> None:
        keys = self._targets(a, b)
        project, newest = self.world.project, self.world.newest_trace()
        if c % 3 == 0:
            project.mark(keys, "stale", reason="not sure")
        else:
            project.invalidate(keys)
        for key in keys:
            self.model.invalid[key] = newest
            if key in self.model.current:
                self.model.moves[key].insert(0, self.model.current[key].trace)

    # -- what is stored

    def on_gc(self, a: int, b: int, c: int, d: int) -> None:
        removed = set(self.world.collect(1 + a % 2))
        if wrong := removed & self.model.needed():
            raise Disagreement(f"gc removed {sorted(wrong)}, which is needed")
        self.model.gone |= removed
        for key, memories in self.model.memories.items():
            for one in memories:
                is_there = not one.place or (self.world.settings.storage_path / one.place).exists()
                if is_there == ((key, one.number) in self.model.gone) and one.place:
                    raise Disagreement(f"{key}@{one.number} {'is still there' if is_there else 'has gone'}")

    def on_lose(self, a: int, b: int, c: int, d: int) -> None:
        """Delete the bytes of a version; sometimes of one that is not current."""
        there = [
            (key, memory)
            for key in self._built()
            for memory in ([self.model.current[key]] if b % 3 else self.model.memories[key])
            if memory.place and (key, memory.number) not in self.model.gone
        ]
        if there:
            key, memory = there[a % len(there)]
            self.world.lose_bytes(memory.place)
            self.model.gone.add((key, memory.number))

    def on_mend(self, a: int, b: int, c: int, d: int) -> None:
        if self.world.settings.catalog_path.exists():
            self.world.mend()

    def on_lose_catalog(self, a: int, b: int, c: int, d: int) -> None:
        if self.model.current:
            self.world.mend()  # what killed runs left would be taken in as versions
            self.world.lose_catalog()
            self.model.last = dict.fromkeys(self.model.keys)

    def on_wipe(self, a: int, b: int, c: int, d: int) -> None:
        if a % 4 == 0:
            self.world.lose_everything()
            self.model.forget()
            self.heads = {}
            self.declare()


WEIGHTS = {
    "add": 6, "remove": 2, "rename": 2, "body": 8, "coarse": 2, "helper": 6, "use_helper": 3, "comment": 4, "config": 6,
    "take": 5, "remap": 5, "drop": 3, "columns": 6, "revert": 5, "source": 9, "source_away": 2, "clock": 4, "all": 7,
    "some": 9, "killed": 2, "interrupted": 1, "rollback": 4, "pin": 2, "unpin": 5, "gc": 2, "lose": 4, "mend": 1,
    "lose_catalog": 1, "wipe": 1, "accept": 4, "revoke": 4, "invalidate": 3,
}  # fmt: skip
"""How often each rule is taken, against the others."""
