"""What a plan must say, found the slow way: recursion without memory, recipes in clear instead of keys and digests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tests.unit.plan.simulated import Memory, Project, Table, known, recipe_of, seen


@dataclass(frozen=True)
class Answer:
    """`table` is what an asset is known to hold when its turn has come, None while that is open."""

    action: str
    table: Table | None = None
    link: Memory | None = None
    causes: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Oracle:
    """The answers for one plan: what it is about, whether upstreams are planned with it, and what is forced."""

    project: Project
    targets: Collection[str]
    with_upstream: bool
    forced: Collection[str]

    def members(self) -> set[str]:
        """All that the plan is about."""
        found, maker = set(self.targets), self.project.maker
        while more := {other for key in found if key in maker for other in self._near(key)} - found:
            found |= more
        return found

    def answer(self, key: str) -> Answer:
        """The answer for one asset or source."""
        if key in self.project.sources:
            return Answer("blocked" if self.project.sources[key] is None else "current", self.project.sources[key])
        function = self.project.functions[self.project.maker[key]]
        taken = {str(one.upstream) for output in function.outputs for one in function.inputs_of(output)}
        if key in self.project.pinned:
            return Answer("blocked") if self.project.is_lost(key) else Answer("pinned", self.project.table(key))
        members = self.members()
        above = {up: self.answer(up) if up in members else Answer("", self.project.table(up)) for up in taken}
        alone = {output: self._alone(output, above) for output in function.outputs if output not in self.project.pinned}
        mine, actions = alone[key], {one.action for one in alone.values()}
        if "blocked" in actions:
            return mine if mine.action == "current" else Answer("blocked")
        if mine.action in ("current", "link") and actions & {"run", "maybe"}:
            return Answer("maybe")
        return mine

    def _alone(self, key: str, above: Mapping[str, Answer]) -> Answer:
        """As if the function had no other output."""
        function = self.project.functions[self.project.maker[key]]
        ups = [(above[one.upstream], one.mode) for one in function.inputs_of(key)]
        if any(up.action == "blocked" or ((up.action, up.table) == ("", None) and mode != "order") for up, mode in ups):
            return Answer("blocked")
        tables = known({str(one.upstream): above[one.upstream].table for one in function.inputs})
        causes = self._causes(key, tables)
        if len(tables) < len({one.upstream for one in function.inputs}):
            return Answer("run" if causes else "maybe", causes=causes)
        recipe = recipe_of(function, tables)
        if not causes and self.project.current[key].recipe == recipe:
            return Answer("current", self.project.table(key))
        link = next((one for one in self.project.live(key) if one.recipe == recipe and key not in self.forced), None)
        return Answer("run", causes=causes) if link is None else Answer("link", link.table, link, causes)

    def _causes(self, key: str, tables: Mapping[str, Table]) -> frozenset[tuple[str, str]]:
        """Everything in which the asset differs from its current result; codes as in reasons, each with its subject."""
        function, current = self.project.functions[self.project.maker[key]], self.project.current.get(key)
        found = {("forced", "")} if key in self.forced else set[tuple[str, str]]()
        if current is None:
            return frozenset(found | {("never_materialized", "")})
        if self.project.is_lost(key):
            found.add(("data_missing", ""))
        was, parts = current.recipe, function.parts
        if was.own != parts[function.name]:
            found.add(("code_changed", ""))
        elif was.helper != parts["helper"]:
            found.add(("helper_changed", ""))
        found |= {("config_changed", name) for name, _ in was.config ^ set(function.config.items())}
        before = {(one.parameter, one.upstream): one for one in was.reads}
        now = {(one.parameter, str(one.upstream)): one for one in function.inputs}
        found |= {("input_added", up) for _, up in now.keys() - before.keys()}
        found |= {("input_removed", up) for _, up in before.keys() - now.keys()}
        for pair in now.keys() & before.keys():
            old, new, table = before[pair], now[pair], tables.get(pair[1])
            is_same_shape = (old.mode, old.columns) == (new.mode, new.columns)
            if is_same_shape and table is not None and seen(new, table) != old.value:
                found.add(("input_changed", pair[1]))
        return frozenset(found)

    def _near(self, key: str) -> set[str]:
        function = self.project.functions[self.project.maker[key]]
        taken = () if key in self.project.pinned else function.inputs_of(key)  # it needs nothing, the other outputs may
        above = set[str](one.upstream for one in taken)
        return {*function.outputs, *(up for up in above if self.with_upstream or up in self.project.sources)}
