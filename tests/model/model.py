"""The reference with a memory: what a run would do, foretold, and taken in when assetflow has done it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace

from assetflow.model.records import Head
from tests.model.reference import Reference
from tests.model.story import Answer, Function, Memory, Question, Recipe, content
from tests.model.written import Weather

COMMITS = ("observed", "materialized", "unchanged", "linked", "accepted")
FAILS = ("failed", "rejected")


@dataclass
class Foretold:
    """How each asset of a run ends, and what of it is recorded; `ran` are the functions that are called, in order."""

    states: dict[str, str] = field(default_factory=dict[str, str])
    memories: dict[str, Memory] = field(default_factory=dict[str, Memory])
    ran: list[str] = field(default_factory=list[str])


class Model(Reference):
    """What is declared, what was computed, and how each asset's last attempt ended (None: nobody can say)."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies = {"h0": 0, "h1": 0}
        self.last: dict[str, tuple[str, int] | None] = {}
        self.moves: dict[str, list[int]] = {}  # the traces that a head was at, newest first
        self.accepted = False

    @property
    def keys(self) -> list[str]:
        return [output for one in self.functions for output in one.outputs]

    def newest_trace(self) -> int:
        """The highest number that a trace has had."""
        return max((one.trace for memories in self.memories.values() for one in memories), default=0)

    def foretell(self, asked: Question, weather: Weather) -> Foretold:
        """What a run does, when it is not killed or interrupted."""
        plan = {key: self.answer(key, asked) for key in self.members(asked)}
        told, later = Foretold(), copy(self)
        later.current = dict(self.current)
        if all(self._is_quiet(key, answer) for key, answer in plan.items()):
            return told
        for key, answer in plan.items():
            if key in self.sources and answer.value is None:
                told.states[key] = "failed"
            elif key in self.sources and (key not in self.current or self.current[key].value != answer.value):
                told.states[key] = "observed"
                told.memories[key] = later.current[key] = _observed(str(answer.value))
            elif key in self.pinned and answer.action == "blocked":
                told.states[key] = "failed"
        for function in self.functions:
            due = [one for one in function.outputs if one in plan and plan[one].action not in ("current", "pinned")]
            if due := [one for one in due if one not in self.pinned]:
                self._one(function, due, later, asked, weather, told)
        return told

    def _is_quiet(self, key: str, answer: Answer) -> bool:
        """Whether nothing is to be done about it: a source that is away counts when something needs it."""
        if key in self.sources:
            return key in self.current and answer.value in (None, self.current[key].value)
        return answer.action in ("current", "pinned")

    def _one(
        self, function: Function, due: list[str], later: Model, asked: Question, weather: Weather, told: Foretold
    ) -> None:
        inputs = [one for one in function.inputs if one.output == "" or one.output in due]
        ups = {one.upstream for one in inputs}
        if any(told.states.get(up) in (*FAILS, "blocked") for up in ups) or any(
            one.mode != "order" and one.upstream not in later.current for one in inputs
        ):
            told.states.update(dict.fromkeys(due, "blocked"))
            return
        above = {up: Answer("current", later.current[up].value if up in later.current else None) for up in ups}
        answers = {key: later.alone(key, above, key in asked.forced) for key in due}
        if not any(answer.action == "run" for answer in answers.values()):
            for key, answer in answers.items():
                told.states[key] = "cut_off" if answer.link is None else "linked"
                if answer.link is not None:
                    found = answer.link
                    told.memories[key] = later.current[key] = Memory(found.recipe, found.value, found.number)
            return
        name = function.outputs[0]
        reads = [one.upstream for one in function.inputs if one.mode in ("value", "columns")]
        if any(up in later.current and (up, later.current[up].number) in self.gone for up in reads):
            told.states.update(dict.fromkeys(due, "failed"))
            return
        told.ran.append(name)
        if name in weather.fails or name in weather.skips:
            told.states.update(dict.fromkeys(due, "failed" if name in weather.fails else "skipped"))
            return
        for key in due:
            self._output(function, key, later, above, weather, told)

    def _output(
        self, function: Function, key: str, later: Model, above: dict[str, Answer], weather: Weather, told: Foretold
    ) -> None:
        recipe = later.recipe(key, {up: answer.value for up, answer in above.items()})
        assert recipe is not None, "what a run reads is known"
        unread = [one.upstream for one in function.inputs if one.output == key]
        cannot_check = any(up not in later.current or (up, later.current[up].number) in self.gone for up in unread)
        if function.checked == key and (key in weather.rejects or cannot_check):
            told.states[key] = "rejected"
            return
        value = content(key, function, recipe)
        before = self.current.get(key)
        is_same = before is not None and before.value == value and not self.is_lost(key)
        told.states[key] = "unchanged" if is_same else "materialized"
        told.memories[key] = later.current[key] = Memory(recipe, value, before.number if is_same and before else 0)

    def needed(self) -> set[tuple[str, int]]:
        """The versions that gc must leave alone: what is current, and what that was made from, as far as it exists."""
        found = {(key, one.number): one for key, one in self.current.items()}
        waiting = [one for key, one in self.current.items() if not self.is_lost(key)]
        while waiting:
            for key, number in waiting.pop().inputs:
                one = next((one for one in self.memories.get(key, ()) if one.number == number), None)
                if one is not None and (key, number) not in found.keys() | self.gone:
                    found[key, number] = one
                    waiting.append(one)
        return set(found) - self.gone

    def foretell_accepted(self, keys: list[str]) -> Foretold:
        """What accepting these assets records: sources as they are, and versions that stand for what is declared."""
        told, asked = Foretold(), Question(keys)
        members = self.members(asked)
        read = {one.upstream for key in keys for one in self.maker(key).inputs if one.output in ("", key)}
        values: dict[str, str | None] = {key: memory.value for key, memory in self.current.items()} | self.sources
        for key in read & members & self.sources.keys():
            token = self.sources[key]
            if token is not None and (key not in self.current or self.current[key].value != token):
                told.states[key], told.memories[key] = "observed", _observed(token)
        for key in keys:
            recipe = self.recipe(key, values)
            is_open = key in self.current and key not in self.pinned and not self.is_lost(key) and recipe is not None
            if recipe is not None and is_open and self.answer(key, asked).action != "current":
                now = self.current[key]
                # What would be opened now is not known: what was opened then is taken as it is.
                recipe = replace(recipe, opened=tuple((name, self.files[name]) for name, _ in now.recipe.opened))
                told.states[key], told.memories[key] = "accepted", Memory(recipe, now.value, now.number)
        return told

    def revoke(self, key: str) -> int | None:
        """Take back the newest acceptance of an asset that still stands; the trace that its head goes back to, if any.

        Raises:
            LookupError: nothing of it was accepted.
        """
        moves, by_trace = self.moves.get(key, []), {one.trace: one for one in self.memories.get(key, ())}
        accepted = next(
            place for place, trace in enumerate(moves)
            if by_trace[trace].kind == "accept" and trace not in self.revoked
        )  # fmt: skip
        claim = by_trace[moves[accepted]]
        self.revoked |= {
            one.trace for one in self.memories[key]
            if (one.recipe, one.number) == (claim.recipe, claim.number) and one.kind != "run"
        }  # fmt: skip
        before = next((trace for trace in moves[accepted + 1 :] if trace != claim.trace), None)
        return before if self.current[key].trace == claim.trace else None

    # -- taking in what was done

    def commit(self, key: str, state: str, memory: Memory, head: Head) -> None:
        """What was foretold has happened: the head says under which numbers."""
        version, numbers = head.version, [one.number for one in self.memories.get(key, ())]
        assert state in COMMITS
        if state in ("unchanged", "linked", "accepted"):
            assert version.number == memory.number, f"{key} was {state} at v{version.number}, not v{memory.number}"
        else:
            assert version.number > max(numbers, default=0) or state == "observed", f"{key} has no new number"
        memory.number, memory.trace, memory.place = version.number, head.trace.trace_id, version.location
        memory.inputs = tuple((str(one.upstream), one.version_number or 0) for one in head.trace.inputs)
        after = head.trace.metadata.get("assetflow/after_run")
        memory.kind, memory.run = head.trace.kind, head.trace.run_id or (after if isinstance(after, int) else 0)
        self.current[key] = memory
        self.memories.setdefault(key, []).insert(0, memory)
        self.moves.setdefault(key, []).insert(0, memory.trace)

    def repoint(self, key: str, head: Head) -> None:
        """A head was moved to something that is remembered."""
        found = [one for one in self.memories[key] if one.trace == head.trace.trace_id]
        assert len(found) == 1, f"{key} is at a trace that nobody made"
        assert found[0].number == head.version.number
        self.current[key] = found[0]
        self.moves[key].insert(0, found[0].trace)

    def forget(self) -> None:
        """Everything that was stored is gone, and with it all that was known of it."""
        for known in (self.memories, self.current, self.last, self.moves, self.invalid):
            known.clear()
        self.gone.clear()
        self.pinned.clear()
        self.revoked.clear()


def _observed(token: str) -> Memory:
    return Memory(Recipe(token, "", frozenset(), frozenset()), token)
