"""Rules: what people do to the text of a project and to its sources."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.model.pair import Pair
from tests.model.story import Function, Input
from tests.model.written import HELPERS

MOST_FUNCTIONS = 6
SHAPES = ((), (), ("a",), ("b",), ("b", "a"), ("z",))
CONFIGS = (None, ("0", "0"), ("0", "1"), ("1", "0"))


class Edits(Pair):
    """Edits, sources that change, and a clock that jumps."""

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
        opens = ("", "", "e0")[c // 2 % 3]
        function = Function(outputs, tuple(inputs), c % 3, helper, (2, 1, 3, 2, 900)[d % 5], None, 0, checked, opens)
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

    def on_opens(self, a: int, b: int, c: int, d: int) -> None:
        self._edit(self._function(a), opens=("", "e0", "e1")[b % 3])

    def on_file(self, a: int, b: int, c: int, d: int) -> None:
        """A file changes that functions open without declaring it."""
        name = f"e{a % 2}"
        self.model.files[name] = str(b % 3)
        self.world.set_file(name, self.model.files[name])

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

    def on_source(self, a: int, b: int, c: int, d: int) -> None:
        self.set_source(f"s{a % 3}", json.dumps({"t": b % 3}))

    def on_source_away(self, a: int, b: int, c: int, d: int) -> None:
        self.set_source(f"s{a % 3}", None)

    def on_clock(self, a: int, b: int, c: int, d: int) -> None:
        self.world.offset += (1800, 5400, 86400, -1800, -5400)[a % 5]
        self.see_sources()
