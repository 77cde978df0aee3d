"""The short way of `ls`, `status`, `plan` and `materialize`: when nothing has changed, the answer is that of before.

It reads the plainest options by itself and imports next to nothing, because that is all that such a call costs.
Whatever is not plain is left to the long way, which understands everything and says what is wrong.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from assetflow.cli.verbs import BY_NAME, FORMATS

if TYPE_CHECKING:
    from datetime import tzinfo

    from assetflow.cli.answer import Answer
    from assetflow.cli.render import Screen
    from assetflow.load.finding import Found
    from assetflow.run.unchanged import Answer as Kept

_SWITCHES = {
    "--json": "json", "--ascii": "ascii", "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose",
    "--exit-code": "exit_code", "--no-input": "no_input",
}  # fmt: skip
_TAKING = {
    "-C": "project", "--project": "project", "-e": "env", "--env": "env", "--format": "format", "--color": "color",
    "--sort": "sort",
}  # fmt: skip
_VALUES = {"format": FORMATS, "color": ("auto", "always", "never"), "sort": ("topo", "name", "age", "size", "duration")}
_OWN = {"exit_code": ("plan", "status"), "sort": ("ls",)}
VERBS = frozenset(["ls", "status", "plan", "materialize"])


class Asked:
    """A plain call: its verb, its options by name (a switch that is on has an empty text), and the selection."""

    __slots__ = ("options", "selection", "verb")

    def __init__(self, verb: str, options: dict[str, str], selection: list[str]) -> None:
        self.verb, self.options, self.selection = verb, options, selection

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return name in self.options


class Here:
    """Where and when the call is shown: the part of a session that answers need."""

    def __init__(self, screen: Screen, now: float, zone: str, began: float) -> None:
        self.now, self.width, self._screen = now, screen.width, screen
        self._zone, self._began = zone, began

    @property
    def wants_values(self) -> bool:
        """Whether programs read the tables."""
        return self._screen.wants_values

    @property
    def elapsed_s(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self._began

    def clock(self, moment: float | None) -> str:
        """A moment as text in the zone of the project."""
        if moment is None:
            return "–"
        from assetflow.cli.zones import moment_words, zone_of

        zone: tzinfo | None = None if self._zone == "local" else zone_of(self._zone)
        return moment_words(moment, self.now, zone)


def short_answer(verb: str | None, rest: list[str], now: float | None) -> tuple[str, Screen, Answer] | None:
    """The verb, the screen and the answer of a call, if nothing has changed since it was answered; else None."""
    asked = read(verb, rest)
    if asked is None or os.environ.get("GITHUB_ACTIONS") == "true":
        return None
    from assetflow.load.finding import found

    began = time.perf_counter()
    env = asked.options.get("env")
    project = found(asked.options.get("project"), {} if env is None else {"env": env})
    if project is None or (asked.verb == "materialize" and project.has_alerts):
        return None
    from assetflow.cli.glancing import question
    from assetflow.run.unchanged import answer_of

    moment = time.time() if now is None else now
    parts = [asked.options.get("sort", "topo")] if asked.verb == "ls" and asked.has("json") else []
    verb_name = f"{asked.verb} --json" if asked.has("json") and asked.verb != "materialize" else asked.verb
    kept = answer_of(project, question(verb_name, asked.selection, *parts), moment)
    if kept is None:
        return None
    from assetflow.cli.render import Screen

    screen = Screen(
        sys.stdout,
        sys.stderr,
        form=asked.options.get("format"),
        is_json=asked.has("json"),
        color=asked.options.get("color", "auto"),
        is_ascii=asked.has("ascii"),
        is_quiet=asked.has("quiet"),
    )
    return asked.verb, screen, _answer(asked, kept, Here(screen, moment, _zone(project), began))


def read(verb: str | None, rest: list[str]) -> Asked | None:
    """The call, if all of it is plain."""
    found = BY_NAME.get(verb or "")
    if found is None or found.name not in VERBS:
        return None
    options: dict[str, str] = {}
    selection: list[str] = []
    words = iter(rest)
    for word in words:
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            selection.append(word)
        elif word in _SWITCHES:
            options[_SWITCHES[word]] = ""
        elif flag in _TAKING and (not equals or flag.startswith("--")):
            given = value if equals else next(words, "-")
            if given.startswith("-") or given not in _VALUES.get(_TAKING[flag], (given,)):
                return None
            options[_TAKING[flag]] = given
        else:
            return None
    if any(name in options and found.name not in verbs for name, verbs in _OWN.items()):
        return None
    return Asked(found.name, options, selection)


def _zone(project: Found) -> str:
    return str(project.values.get("tz", "local"))


def _answer(asked: Asked, kept: Kept, here: Here) -> Answer:
    from assetflow.cli import glancing
    from assetflow.cli.answer import Answer, JsonText

    data: dict[str, Any] = dict(kept.data)
    if asked.verb == "materialize":
        return glancing.no_op_answer(data, here)
    if asked.has("json"):
        text = JsonText(glancing.spliced(data["lead"], kept.texts, data["end"]))
        return Answer(lambda: text, exit_code=4 if asked.has("exit_code") and data["is_bad"] else 0)
    if asked.verb == "plan":
        return glancing.empty_plan_answer(data, here, dict)
    seen = glancing.Seen.from_json(data)
    if asked.verb == "ls":
        return glancing.ls_answer(seen, here, asked.selection, asked.options.get("sort", "topo"), dict)
    return glancing.status_answer(
        seen, here, asked.selection, dict, verbose=asked.has("verbose"), exits=asked.has("exit_code")
    )
