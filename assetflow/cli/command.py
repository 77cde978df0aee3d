"""What a verb's module offers, and the parser that reads its options together with the global ones."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, cast

from msgspec import Struct

from assetflow.cli.verbs import FORMATS, GLOBALS, Verb
from assetflow.errors import UsageError, near_names

if TYPE_CHECKING:
    from assetflow.cli.answer import Answer
    from assetflow.cli.session import Session


def no_options(parser: ArgumentParser) -> None:
    """For verbs that take nothing."""


class Command(Struct, frozen=True):
    """A verb as its module builds it: `options` adds its arguments to a parser, `run` answers."""

    run: Callable[[Session, Namespace], Answer]
    options: Callable[[ArgumentParser], None] = no_options
    examples: tuple[tuple[str, str], ...] = ()
    formats: tuple[str, ...] = FORMATS


class _Formatter(RawDescriptionHelpFormatter):
    """Help of a fixed width: asking for the terminal's would import `shutil` whenever options are read."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=96)


class Parser(ArgumentParser):
    """An argument parser that raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found."""
        fix = f"{self.prog} --help"
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            word = message.removeprefix(prefix).split()[0]
            known = [flag for action in self._actions for flag in action.option_strings]
            near = near_names(word.partition("=")[0], known, 1) if word.startswith("-") else []
            what = f"`{self.prog}` does not take `{word}`"
            raise UsageError(what, fix=f"did you mean `{near[0]}`?" if near else fix)
        raise UsageError(message.replace("invalid choice", "no such choice"), fix=fix)


def parser_of(verb: Verb, command: Command) -> Parser:
    """The parser of a verb."""
    program = f"assetflow {verb.name}" if verb.section else "assetflow"  # the home screen has no name to type
    parser = Parser(
        prog=program,
        usage=f"{program} {verb.synopsis} [OPTIONS]".replace("  ", " "),
        description=_description(verb, command),
        formatter_class=_Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    command.options(parser)  # first, so that the help shows them before those of every verb
    group = parser.add_argument_group("options of every verb")
    for option in GLOBALS:
        if option.takes:
            choices = command.formats if option.takes == "FORMAT" else option.choices or None
            summary = ", ".join(command.formats) if choices and option.takes == "FORMAT" else option.summary
            group.add_argument(*option.flags, metavar=option.takes, choices=choices, help=summary)
        else:
            group.add_argument(*option.flags, action="store_true", help=option.summary)
    return parser


def _description(verb: Verb, command: Command) -> str:
    lines = [verb.summary[:1].upper() + verb.summary[1:] + "."]
    if command.examples:
        wide = max(len(text) for text, _ in command.examples)
        lines += ["", "examples:", *(f"  {text:<{wide}}  {meaning}".rstrip() for text, meaning in command.examples)]
    return "\n".join(lines)


def help_of(verb: Verb) -> str:
    """The help of a verb."""
    return parser_of(verb, command_of(verb)).format_help().replace("positional arguments:", "arguments:")


def command_of(verb: Verb) -> Command:
    """The verb as its module builds it; imports the module."""
    module = import_module(f"assetflow.cli.{verb.module}")
    return cast("dict[str, Command]", module.COMMANDS)[verb.name]


def positive(text: str) -> int:
    """A number of 1 or more, for `type=` of an option."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """A number of 0 or more, for `type=` of an option."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    from argparse import ArgumentTypeError

    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise ArgumentTypeError(f"`{text}` is not a number of {least} or more")
    return int(text)


def add_selection(parser: ArgumentParser) -> None:
    """Add the selection: words of the selection language, joined with spaces."""
    parser.add_argument("selection", nargs="*", metavar="SELECTION", help="which assets (default: all)")


def selection_text(options: Namespace) -> str | None:
    """The selection as one text, or None for all."""
    words: list[str] = options.selection
    return " ".join(words) or None
