"""One call of the command line: its options, its screen, its clock, and the project once a verb asks for it."""

from __future__ import annotations

import gc
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.cli.command import Command, command_of, parser_of
from assetflow.cli.render import Screen
from assetflow.cli.short import VERBS as SHORT
from assetflow.cli.verbs import SHOWN, Verb
from assetflow.errors import ProjectNotFound, UsageError, near_names

if TYPE_CHECKING:
    from datetime import tzinfo

    from assetflow.automation.declared import Declared
    from assetflow.load.settings import Settings
    from assetflow.project import Project

HOME = Verb("", "home", (), "", "where the project stands", "looking")


class Session:
    """What a verb works with. Close it at the end."""

    def __init__(self, verb: Verb, command: Command, options: Namespace, screen: Screen, now: float) -> None:
        self.verb, self.command, self.options, self.screen, self.now = verb, command, options, screen, now
        self._began = time.perf_counter()
        self._project: Project | None = None
        self._settings: Settings | None = None
        self._zone: tzinfo | None = None

    @classmethod
    def start(cls, verb: Verb | None, name: str, rest: list[str], screen: Screen, now: float | None) -> Session:
        """The session of a call.

        Raises:
            UsageError: there is no such verb, or it does not take these arguments.
        """
        if verb is None:
            if name != "home":
                raise no_such_verb(name)
            verb = HOME
        command = command_of(verb)
        options = parser_of(verb, command).parse_intermixed_args(rest)
        given = Screen(
            screen.out,
            screen.err,
            form=options.format,
            is_json=options.json,
            color=options.color or "auto",
            is_ascii=options.ascii,
            is_quiet=options.quiet,
        )
        return cls(verb, command, options, given, time.time() if now is None else now)

    def carry_out(self) -> int:
        """Run the verb and show its answer; the exit code."""
        if self.options.tz is not None or self.options.utc:
            self.zone()  # a zone that does not exist is said before anything is done
        answer = self.command.run(self, self.options)
        self.screen.show(self.verb.name, answer)
        return answer.exit_code

    def project(self, *, to_run: bool = False) -> Project:
        """The project around the working directory or `-C`, loaded once; `to_run` as in `Project.load`.

        Raises:
            ProjectNotFound: there is none.
            ProjectLoadError: it has problems.
        """
        if self._project is None:
            from assetflow.run.interrupt import note_interrupts

            note_interrupts()
            from assetflow.model.garbage import garbage_kept
            from assetflow.project import Project

            zone = "UTC" if self.options.utc else self.options.tz
            overrides = None if zone is None else {"tz": zone}  # days and times in names of versions are in it too
            with garbage_kept():
                self._project = Project.load(
                    self.options.project, env=self.options.env, overrides=overrides, to_run=to_run
                )
                gc.freeze()  # what was imported stays: going through the objects of pandas takes tens of milliseconds
            self._project.keeps_answers = self.verb.name in SHORT
        return self._project

    def settings(self) -> Settings:
        """The settings of the project around the working directory or `-C`, without loading it.

        Raises:
            ProjectNotFound: there is none.
            ProjectLoadError: they have problems.
        """
        from assetflow.load.settings import read_settings

        given = {} if self.options.env is None else {"env": self.options.env}
        self._settings = read_settings(Path(self.options.project or "."), given)
        return self._settings

    def declared(self) -> Declared:
        """The jobs and sensors of the project file and of its modules; see `automation.declared`.

        Raises:
            ProjectNotFound: there is no project.
            ProjectLoadError: the settings have problems. That modules do not load is in the answer.
        """
        from assetflow.automation.declared import declared

        return declared(self.settings())

    @property
    def has_project(self) -> bool:
        """Whether the project has been loaded."""
        return self._project is not None

    @property
    def known_settings(self) -> Settings | None:
        """The settings, as far as the verb asked for them or for the project."""
        return self._settings if self._project is None else self._project.settings

    def close(self) -> None:
        """Close the project, if one was opened."""
        if self._project is not None:
            self._project.close()
            self._project = None
        if (interrupt := sys.modules.get("assetflow.run.interrupt")) is not None:
            interrupt.forget_interrupts()

    @property
    def width(self) -> int:
        """Columns of the screen."""
        return self.screen.width

    @property
    def wants_values(self) -> bool:
        """Whether programs read the tables."""
        return self.screen.wants_values

    @property
    def elapsed_s(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self._began

    @property
    def wants_full_traceback(self) -> bool:
        """Whether frames of assetflow are to be shown."""
        return self.options.traceback == "full"

    @property
    def root_text(self) -> str | None:
        """The project's folder, as far as it is known."""
        if self._project is not None:
            return str(self._project.root)
        from assetflow.load.settings import find_project

        try:
            return str(find_project(Path(self.options.project or ".")).parent)
        except ProjectNotFound:
            return None

    def zone(self) -> tzinfo | None:
        """The zone that times are shown in; None is the machine's own.

        Raises:
            UsageError: `--tz` names no zone.
        """
        if self._zone is None:
            name = "UTC" if self.options.utc else self.options.tz
            known = self.known_settings
            if name is None and known is not None and known.tz != "local":
                name = known.tz
            if name is not None:
                from assetflow.cli.zones import zone_of

                self._zone = zone_of(name)
        return self._zone

    @property
    def asked_zone(self) -> str:
        """The zone of `--tz` or `--utc`; empty when nobody asked for one."""
        return "UTC" if self.options.utc else self.options.tz or ""

    def clock(self, moment: float | None) -> str:
        """`13:40 today`, `22 Nov 13:40`, or `22 Nov 2025` for another year; a dash for nothing."""
        from assetflow.cli.zones import moment_words

        return "–" if moment is None else moment_words(moment, self.now, self.zone())

    def clock_in(self, moment: float | None, zone: str, *, is_named: bool = False) -> str:
        """`clock` in the zone of this name, maybe with its short name of that day; empty is the zone of the screen."""
        if moment is None or not zone:
            return self.clock(moment)
        from datetime import UTC, datetime

        from assetflow.cli.zones import moment_words, zone_of

        found = zone_of(zone)
        text = moment_words(moment, self.now, found)
        return f"{text} {datetime.fromtimestamp(moment, UTC).astimezone(found):%Z}" if is_named else text

    def place(self, file: str, line: int = 0) -> str:
        """`assets/marts.py:24`: a place in the project, relative to its folder where it lies in it."""
        text = file
        if self._project is not None:
            root = str(self._project.root).rstrip("/\\")
            if file.startswith(root) and file[len(root) : len(root) + 1] in ("/", "\\"):
                text = file[len(root) + 1 :]
        return f"{text}:{line}" if line else text


def no_such_verb(name: str) -> UsageError:
    """The error for a verb that does not exist."""
    near = near_names(name, [word for verb in SHOWN for word in (verb.name, *verb.aliases)], 1)
    fix = f"did you mean `assetflow {near[0]}`?" if near else "assetflow --help lists the verbs"
    return UsageError(f"there is no verb `{name}`", fix=fix)
