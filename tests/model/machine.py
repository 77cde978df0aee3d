"""All rules: what happens to a project, one step at a time. Each takes four numbers, so that any history can be cut."""

from __future__ import annotations

from collections.abc import Callable

from assetflow.errors import DamagedVersion, NoSuchVersion, UsageError
from tests.model.edits import Edits
from tests.model.judge import Disagreement
from tests.model.runs import Runs
from tests.model.story import Question
from tests.model.world import World
from tests.model.written import WEATHER

Op = tuple[str, int, int, int, int]
"""A step: the name of a rule and the numbers that it is given."""


class Machine(Edits, Runs):
    """One project with its model; `step` does one thing to both and compares them."""

    def begin(self) -> None:
        """Write the first functions, and compare."""
        WEATHER.__init__()
        for key, token in self.asked.items():
            self.world.set_source(key, token)
        for name, text in self.model.files.items():
            self.world.set_file(name, text)
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
            for name, text in self.model.files.items():
                other.set_file(name, text)
            other.materialize(None)
            fresh = {str(step.asset): step.head for step in other.project.plan() if not step.spec.is_source}
            hashes = {key: head.version.data_hash for key, head in fresh.items() if head is not None}
        finally:
            other.close()
        if made != hashes and not self.model.accepted:
            raise Disagreement(f"incremental {made}, from scratch {hashes}")

    def _rule(self, name: str) -> Callable[[int, int, int, int], None]:
        return getattr(self, f"on_{name}")

    # -- moving pointers

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
        foretold, before = self.model.foretell_accepted(keys), self.model.newest_trace()
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
        if b % 4:
            keys = [key for key in keys if self.model.current[key].kind == "accept"] or keys
        key = keys[a % len(keys)]
        if d % 2 and self.model.current[key].kind == "accept":
            self._go_and_come_back(key)
        done = self.world.project.revoke(key)
        try:
            back = self.model.revoke(key)
        except StopIteration:
            if done.assets:
                raise Disagreement(f"{key} has nothing that could be revoked: {done}") from None
            return
        if back is not None:
            head = self._heads_now()[key]
            is_gone = self.model.is_lost(key)
            if head.trace.trace_id != back and not (is_gone and head.trace.trace_id == self.model.current[key].trace):
                raise Disagreement(f"{key} is back at trace {head.trace.trace_id}, not {back}")
            if head.trace.trace_id == back:
                self.model.repoint(key, head)

    def _go_and_come_back(self, key: str) -> None:
        """Edit, run, and take the edit back: what was accepted is current by a link then, unless something else is."""
        place = next(n for n, one in enumerate(self.model.functions) if key in one.outputs)
        body = self.model.functions[place].body
        for now in ((body + 1) % 4, body):
            self._edit(place, body=now)
            self.run([key], fails=False)
            self.look()

    def on_invalidate(self, a: int, b: int, c: int, d: int) -> None:
        keys = self._targets(a, b)
        project, newest = self.world.project, self.model.newest_trace()
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
    "lose_catalog": 1, "wipe": 1, "accept": 4, "revoke": 4, "invalidate": 3, "opens": 4, "file": 7,
}  # fmt: skip
"""How often each rule is taken, against the others."""
