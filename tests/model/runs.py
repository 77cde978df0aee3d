"""Rules: runs that end well, that fail, that are interrupted or killed."""

from __future__ import annotations

from assetflow.errors import AssetPinned
from tests.model.judge import Disagreement, compare
from tests.model.model import COMMITS, FAILS, Foretold
from tests.model.pair import Pair
from tests.model.story import Question
from tests.model.written import WEATHER


class Runs(Pair):
    """Everything that `materialize` can go through."""

    def on_all(self, a: int, b: int, c: int, d: int) -> None:
        self.run(None, fails=a % 3 == 0 and self._break(b, c), workers=3 if d % 5 == 4 else 1)

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
        before = self.model.newest_trace()
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
        before = self.model.newest_trace()
        WEATHER.interrupts.add(function.outputs[0])
        result, _ = self.world.materialize(None)
        WEATHER.interrupts.clear()
        if result.interrupted != (function.outputs[0] in WEATHER.ran):
            raise Disagreement(f"interrupted: {result.interrupted}, ran {WEATHER.ran}")
        self._take_in(asked, foretold, before, is_partial=result.interrupted)
        self.model.last.update(dict.fromkeys(self.model.members(asked)))

    def run(
        self,
        targets: list[str] | None,
        *,
        fails: bool,
        with_upstream: bool = True,
        force: bool = False,
        workers: int = 1,
    ) -> None:
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
        before = self.model.newest_trace()
        answers = {key: self.model.answer(key, asked) for key in self.model.members(asked)}
        result, plan = self.world.materialize(targets, workers=workers, **options)
        if plan is not None:
            compare(plan, self.model, asked, with_failures=False)
        states = {str(one.asset): one.state for one in result}
        meant = {key: state for key, state in foretold.states.items() if state != "observed"}
        if states != meant or sorted(WEATHER.ran) != sorted(foretold.ran):
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
