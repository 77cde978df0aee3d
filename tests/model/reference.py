"""What a plan must say, found the slow way: recursion without memory, and recipes in clear where assetflow has keys."""

from __future__ import annotations

from collections.abc import Mapping

from tests.model.story import Answer, Question, Recipe, State, content, seen


class Reference(State):
    """The answers, each found anew from the declarations, the sources, and the recipes of all that was computed."""

    def evaluate(self, key: str) -> str | None:
        """What computing everything but what is pinned would give; None when a source is missing."""
        if key in self.sources or key in self.pinned:
            return self.sources[key] if key in self.sources else self.current[key].value
        inputs = [one.upstream for one in self.maker(key).inputs if one.mode != "order"]
        values = {upstream: self.evaluate(upstream) for upstream in inputs}
        recipe = self.recipe(key, values)
        return recipe and content(key, self.maker(key), recipe)

    def recipe(self, key: str, values: Mapping[str, str | None]) -> Recipe | None:
        """What the asset is made from, when all that it reads is known."""
        function = self.maker(key)
        inputs = [(one, values.get(one.upstream)) for one in function.inputs if one.mode != "order"]
        reads = {(one.parameter, one.upstream, one.mode, one.columns, seen(v or "", one.columns)) for one, v in inputs}
        helper = self.helpers.get(function.helper, "")
        opened = ((function.opens, self.files[function.opens]),) if function.opens else ()
        found = Recipe(function.text, helper, frozenset(function.config or ()), frozenset(reads), opened)
        return None if any(value is None for _, value in inputs) else found

    def members(self, asked: Question) -> set[str]:
        """All that a plan is about: what is made together comes together, and what is pinned needs nothing."""
        found = set(asked.targets)
        while more := {near for key in found if key not in self.sources for near in self._near(key, asked)} - found:
            found |= more
        return found

    def _near(self, key: str, asked: Question) -> set[str]:
        above = {one.upstream for one in self.taken(key) if key not in self.pinned}
        return {*self.maker(key).outputs, *(up for up in above if asked.with_upstream or up in self.sources)}

    def answer(self, key: str, asked: Question) -> Answer:
        """What is to be done about one asset or source."""
        if key in self.sources:
            return Answer("blocked" if self.sources[key] is None else "current", self.sources[key])
        if key in self.pinned:
            return Answer("blocked") if self.is_lost(key) else Answer("pinned", self.current[key].value)
        function, members = self.maker(key), self.members(asked)
        values = {key: memory.value for key, memory in self.current.items()}
        above = {up: self.answer(up, asked) if up in members else Answer("", values.get(up))
                 for up in {one.upstream for one in function.inputs}}  # fmt: skip
        every = {one: self.alone(one, above, one in asked.forced) for one in function.outputs if one not in self.pinned}
        actions = {one.action for one in every.values()}
        if "blocked" in actions:
            return every[key] if every[key].action == "current" else Answer("blocked")
        is_taken_along = every[key].action in ("current", "link") and actions & {"run", "maybe"}
        return Answer("maybe") if is_taken_along else every[key]

    def alone(self, key: str, above: Mapping[str, Answer], is_forced: bool) -> Answer:
        """As if its function had no other output."""
        ups = [(above[one.upstream], one.mode) for one in self.taken(key)]
        if any(up.action == "blocked" or ((up.action, up.value) == ("", None) and mode != "order") for up, mode in ups):
            return Answer("blocked")
        causes = self._causes(key, above, is_forced)
        recipe = self.recipe(key, {up: one.value for up, one in above.items()})
        if recipe is None:
            return Answer("run" if causes else "maybe", causes=causes)
        if not causes and self.fits(self.current[key], recipe):
            return Answer("current", self.current[key].value)
        link = next((one for one in self.linkable(key) if self.fits(one, recipe) and not is_forced), None)
        return Answer("run" if link is None else "link", link and link.value, link, causes)

    def _causes(self, key: str, above: Mapping[str, Answer], is_forced: bool) -> frozenset[tuple[str, str]]:
        """Everything in which the asset differs from its current result: codes of reasons, each with its subject."""
        if key not in self.current:
            return frozenset({("never_materialized", "")} | ({("forced", "")} if is_forced else set()))
        function, was = self.maker(key), self.current[key].recipe
        plain = {
            "forced": is_forced,
            "data_missing": self.is_lost(key),
            "code_changed": was.text != function.text,
            "helper_changed": was.helper != self.helpers.get(function.helper, ""),
            "invalidated": not self.counts(key, self.current[key]),
            "discovered_file": bool(self.changed_files(self.current[key])),
        }
        found = {(code, "") for code, is_so in plain.items() if is_so}
        found |= {("config_changed", name) for name, _ in was.config ^ set(function.config or ())}
        before = {(name, up): (columns, value) for name, up, _, columns, value in was.reads}
        now = {(one.parameter, one.upstream): one for one in function.inputs if one.mode != "order"}
        found |= {("input_added", up) for _, up in now.keys() - before.keys()}
        found |= {("input_removed", up) for _, up in before.keys() - now.keys()}
        for name, up in now.keys() & before.keys():
            value, (columns, read) = above[up].value, before[name, up]
            if value is not None and columns == now[name, up].columns and seen(value, columns) != read:
                found.add(("input_changed", up))
        return frozenset(found)
