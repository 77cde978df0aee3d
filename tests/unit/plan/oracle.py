"""What a plan must say, found the slow way: recursion without memory, and recipes in clear instead of keys and digests."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tests.unit.plan.simulated import Memory, Project, Table, read, recipe_of


@dataclass(frozen=True)
class Oracle:
    """The answers for one plan: its targets, whether upstreams are planned with them, and what is forced."""

    project: Project
    targets: frozenset[str]
    with_upstream: bool
    forced: Collection[str]

    def members(self) -> set[str]:
        """All that the plan is about."""
        found = set(self.targets)
        while more := {other for key in found for other in self._near(key)} - found:
            found |= more
        return found

    def action(self, key: str) -> str:
        """The action for one asset or source."""
        if key in self.project.sources:
            return "blocked" if self.project.sources[key] is None else "current"
        function = self.project.functions[self.project.maker[key]]
        alone = {output: self._alone(output) for output in function.outputs}
        if "blocked" in alone.values():
            return "current" if alone[key] == "current" else "blocked"
        if alone[key] in ("current", "link") and {"run", "maybe"} & set(alone.values()):
            return "maybe"
        return alone[key]

    def causes(self, key: str) -> set[tuple[str, str]]:
        """Everything in which the asset differs from its current trace; codes as in the reasons, each with its subject."""
        function, current = self.project.functions[self.project.maker[key]], self.project.current.get(key)
        found = {("forced", "")} if key in self.forced else set()
        if current is None:
            return found | {("never_materialized", "")}
        if self.project.is_lost(key):
            found.add(("data_missing", ""))
        code, config, reads = current.recipe
        if code != function.code:
            found.add(("code", ""))
        old, new = dict(config), function.config  # type: ignore[call-overload]
        found |= {("config_changed", name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        before = {(parameter, up): (mode, columns, value) for parameter, up, mode, columns, value in reads}  # type: ignore[attr-defined]
        now = {(one.parameter, one.upstream): one for one in function.inputs_of(key) if one.mode != "order"}
        found |= {("input_added", up) for parameter, up in now.keys() - before.keys()}
        found |= {("input_removed", up) for parameter, up in before.keys() - now.keys()}
        for pair in now.keys() & before.keys():
            mode, columns, value = before[pair]
            if (mode, columns) != (now[pair].mode, now[pair].columns):
                found.add(("shape", pair[1]))
            elif (table := self.table(pair[1])) is not None and read(now[pair], table) != value:
                found.add(("input_changed", pair[1]))
        return found

    def table(self, key: str) -> Table | None:
        """What an upstream is known to hold when its turn has come; None while that is open."""
        if key in self.project.sources:
            return self.project.sources[key]
        if key in self.members() and self.action(key) in ("run", "maybe"):
            return None
        link = self.link(key) if key in self.members() and self.action(key) == "link" else None
        return link.table if link is not None else self.project.table(key)

    def link(self, key: str) -> Memory | None:
        """The newest earlier result that fits."""
        function = self.project.functions[self.project.maker[key]]
        values = {one.upstream: self.table(one.upstream) for one in function.inputs}
        recipe = recipe_of(function, key, {up: table for up, table in values.items() if table is not None})
        return next((one for one in self.project.live(key) if one.recipe == recipe), None)

    def _alone(self, key: str) -> str:
        function, current = self.project.functions[self.project.maker[key]], self.project.current.get(key)
        members = self.members()
        for one in function.inputs_of(key):
            is_planned = one.upstream in members
            if is_planned and self.action(one.upstream) == "blocked":
                return "blocked"
            if not is_planned and one.mode != "order" and self.project.table(one.upstream) is None:
                return "blocked"
        values = {one.upstream: self.table(one.upstream) for one in function.inputs}
        if None in values.values():
            return "run" if self.causes(key) - {c for c in self.causes(key) if c[0] == "shape"} else "maybe"
        recipe = recipe_of(function, key, {up: table for up, table in values.items() if table is not None})
        if key in self.forced:
            return "run"
        if current is not None and current.recipe == recipe and not self.project.is_lost(key):
            return "current"
        return "link" if self.link(key) is not None else "run"

    def _near(self, key: str) -> set[str]:
        if key in self.project.sources:
            return set()
        function = self.project.functions[self.project.maker[key]]
        above = {one.upstream for output in function.outputs for one in function.inputs_of(output)}
        return {*function.outputs, *(up for up in above if self.with_upstream or up in self.project.sources)}
