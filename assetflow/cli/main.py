"""The entry of the command line: finds the verb, reads its options, shows its answer, turns errors into exit codes."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from assetflow.cli.verbs import BY_NAME, TAKING

if TYPE_CHECKING:
    from assetflow.cli.render import Screen
    from assetflow.cli.session import Session
    from assetflow.errors import AssetflowError

INTERRUPTED = 130


def run() -> None:
    """Run the command line and leave the process with its exit code.

    The process leaves when Python has ended its threads and called its exit functions, without taking itself apart:
    threads of native libraries that are still at work then abort the process, although the command has ended well.
    """
    code: list[int] = []
    atexit.register(_leave, code)  # exit functions are called last registered first, so this one is the last
    code.append(main())
    sys.exit(code[0])


def _leave(code: list[int]) -> None:
    if not code:
        return  # it is not the command line that ends, so the exit code is another's
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads any more; what could not be written was told before
            stream.flush()
    os._exit(code[0])


def main(argv: list[str] | None = None, *, now: float | None = None) -> int:
    """The exit code of one call. `now` (UTC seconds) is what `2 h ago` on screens counts from; the clock by default."""
    _open_closed_streams()
    gc.set_threshold(100_000)  # specs and traces are many and hold no circles: looking for some costs a sixth of a plan
    arguments = sys.argv[1:] if argv is None else list(argv)
    verb_name, rest = split(arguments)
    # The two shortest ways import nothing that they do not need: they are also what shells and scripts call most.
    if "--version" in _before_double_dash(arguments):
        from assetflow.cli.render import write_version

        write_version()
        return 0
    if verb_name is None and _asks_for_help(arguments):
        from assetflow.cli.help import main_help
        from assetflow.cli.render import Screen

        screen = Screen(sys.stdout, sys.stderr)
        screen.text(main_help(everything="--help-all" in arguments))
        screen.close()
        return 0
    return _guarded(verb_name, arguments, rest, now)


def _open_closed_streams() -> None:
    """Give closed standard streams (`assetflow ls >&-`) somewhere to go, so that the command does its work."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as above


def split(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The verb (None when there is none) and all other arguments, in their order."""
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument == "--":
            break
        if not argument.startswith("-") or argument == "-":
            return argument, arguments[:index] + arguments[index + 1 :]
        index += 2 if argument in TAKING else 1
    return None, arguments


def _before_double_dash(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _asks_for_help(arguments: list[str]) -> bool:
    return not {"-h", "--help", "--help-all"}.isdisjoint(arguments)


def _guarded(verb_name: str | None, arguments: list[str], rest: list[str], now: float | None) -> int:
    """Run the verb; whatever goes wrong ends as a block on the screen and an exit code."""
    name = verb_name or "home"
    verb = BY_NAME.get(name)
    schema = verb.name if verb is not None else "home" if verb_name is None else "error"
    session: Session | None = None
    screen = _first_screen(arguments)
    try:
        from assetflow.cli.short import VERBS, short_answer

        if verb is not None and verb.name in VERBS and (short := short_answer(verb_name, rest, now)) is not None:
            schema, screen, answer = short
            screen.show(schema, answer)
            screen.close()
            return answer.exit_code
        if verb is not None and _asks_for_help(_before_double_dash(rest)):
            from assetflow.cli.command import help_of

            screen.text(help_of(verb))
            screen.close()
            return 0
        from assetflow.cli.session import Session

        session = Session.start(verb, name, rest, screen, now)
        screen = session.screen
        code = session.carry_out()
        screen.close()
        return code
    except KeyboardInterrupt as stop:
        kept = ": what was built is kept" if schema in ("materialize", "retry") else ""
        screen.note((str(stop) or f"interrupted{kept}",))
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: a bug of ours becomes a report, not a traceback
        if _is_of_interrupt(error):
            screen.note(("interrupted",))
            return INTERRUPTED
        from assetflow.errors import AssetflowError

        if isinstance(error, AssetflowError):
            return _failed(screen, schema, error, session)
        from assetflow.cli.crash import internal_error

        return _failed(screen, schema, internal_error(error, arguments, session), session)
    finally:
        if session is not None:
            session.close()


def _is_of_interrupt(error: Exception) -> bool:
    """Whether it is what a Ctrl-C became: Python 3.11 wraps it where a class is being made, modules where they load."""
    if isinstance(error.__cause__, KeyboardInterrupt):
        return True
    interrupt = sys.modules.get("assetflow.run.interrupt")
    return interrupt is not None and bool(interrupt.was_interrupted())


def _failed(screen: Screen, verb: str, error: AssetflowError, session: Session | None) -> int:
    from assetflow.errors import AssetflowError as AnyError

    if session is not None and session.wants_full_traceback:
        import traceback

        screen.notes([(line,) for line in "".join(traceback.format_exception(error)).splitlines()])
    root = session.root_text if session is not None else None
    screen.error(verb, error, root)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from assetflow.cli.github import annotate

        annotate(screen, error, root)
    try:
        screen.close()
    except AnyError as lost:
        screen.error(verb, lost)
        return lost.exit_code
    return error.exit_code


def _first_screen(arguments: list[str]) -> Screen:
    """A screen for errors in the arguments themselves, from what can be seen without reading them properly."""
    from assetflow.cli.render import Screen

    given = set(_before_double_dash(arguments))
    color = next((argument.partition("=")[2] for argument in given if argument.startswith("--color=")), "auto")
    return Screen(sys.stdout, sys.stderr, is_json="--json" in given, is_ascii="--ascii" in given, color=color)
