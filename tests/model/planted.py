"""Bugs of the planner and the runner, each one line: the CI profile must see every one of them.

The old text must occur exactly once in its file. When a refactoring changes a line, change it here too: plant the bug
that the line's new form could have.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """A one-line edit of a file below `assetflow/` that makes it wrong."""

    name: str
    file: str
    old: str
    new: str


STALENESS, PLANNER, RUNNER, SURVEY = "plan/staleness.py", "plan/planner.py", "run/runner.py", "run/survey.py"

PLANTED = (
    Planted(
        "config is not part of what a result depends on",
        STALENESS,
        "[asset, code_now(spec), str(len(config)), *config, *inputs]",
        "[asset, code_now(spec), *inputs]",
    ),
    Planted("a change of config is not told", STALENESS, "        if old != new:", "        if old != new and False:"),
    Planted(
        "what may run counts as current for what is below",
        PLANNER,
        "if step is not None and step.action in (Action.RUN, Action.MAYBE):",
        "if step is not None and step.action is Action.RUN:",
    ),
    Planted(
        "a version without bytes is linked",
        SURVEY,
        "            if self._storage.exists(head.version):",
        "            if True:",
    ),
    Planted(
        "a current version without bytes stays current",
        STALENESS,
        '_BEYOND_CUES = ("forced", "data_missing", "invalidated")',
        '_BEYOND_CUES = ("forced", "invalidated")',
    ),
    Planted(
        "a projection is cut off on the number of rows alone",
        STALENESS,
        'parts = [str(content.rows), *(f"{name}={content.columns[name]}" for name in given.columns)]',
        "parts = [str(content.rows)]",
    ),
    Planted(
        "a projection counts as the whole content",
        STALENESS,
        'if given.mode == "columns" and all(name in content.columns for name in given.columns):',
        "if False:",
    ),
    Planted(
        "an input that was taken away is not told",
        STALENESS,
        '_input_reasons("input_removed", "no more", before, today)',
        "[]",
    ),
    Planted(
        "inputs are compared by version number, not by content",
        STALENESS,
        "    return content.data_hash\n",
        "    return str(content.number)\n",
    ),
    Planted(
        "which asset an input comes from does not count",
        STALENESS,
        "inputs += [given.parameter, given.upstream, given.mode,",
        "inputs += [given.parameter, given.mode,",
    ),
    Planted(
        "what was forced is linked instead",
        STALENESS,
        'found = None if is_forced or mode == "always" else traces.get(key)',
        'found = None if mode == "always" else traces.get(key)',
    ),
    Planted(
        "an upstream that failed counts as current",
        "run/arranging.py",
        "elif outcome is not None and outcome.state in FAILED:",
        'elif outcome is not None and outcome.state == "rejected":',
    ),
    Planted(
        "an upstream that a check rejected counts as current",
        "run/arranging.py",
        "elif outcome is not None and outcome.state in FAILED:",
        'elif outcome is not None and outcome.state == "failed":',
    ),
    Planted(
        "a run decides by what was current when it began",
        RUNNER,
        "        self._heads[key] = head_after(self._plan.env, trace, done, one.kept, self._run_id, one.at)\n",
        "        head_after(self._plan.env, trace, done, one.kept, self._run_id, one.at)\n",
    ),
    Planted(
        "what is pinned is planned like all else",
        PLANNER,
        "        return _pinned(world.pins[key], world.head(key), is_lost=key in world.lost)\n",
        "        pass\n",
    ),
    Planted(
        "outputs of one function are decided one by one",
        PLANNER,
        "            decided.update(joined(free))",
        "            decided.update(free)",
    ),
    Planted(
        "a source is taken as it was last observed",
        PLANNER,
        "return source_content(world.sources[key], world.head(key))",
        "return None if (head := world.head(key)) is None else Content.of(head.version)",
    ),
    Planted(
        "what was invalidated is linked",
        "plan/surroundings.py",
        "if doubt is not None and not doubt.counts(trace):",
        "if doubt is not None and False:",
    ),
    Planted(
        "files that functions open do not count",
        "plan/surroundings.py",
        "if now is None or not seen:",
        "if True:",
    ),
    Planted(
        "a result of other files is linked",
        "plan/surroundings.py",
        "return not moved_packages(spec, trace)[0] and not any(moved_discoveries(spec, trace, now))",
        "return not moved_packages(spec, trace)[0]",
    ),
    Planted(
        "a step forgets what its function opened",
        "run/recording.py",
        "discovered=result.discovered,",
        "",
    ),
    Planted(
        "what was accepted counts also when it was revoked",
        "model/records.py",
        "return trace.trace_id > self.trace_id and trace.trace_id not in self.revoked",
        "return trace.trace_id > self.trace_id",
    ),
)
