"""`partition`: the keys of dynamic partitions."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, cast

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import Line, count, dim, head, shell
from assetflow.errors import UsageError

if TYPE_CHECKING:
    from assetflow.cli.session import Session


def partition(session: Session, options: Namespace) -> Answer:
    """List the keys of dynamic partitions, add some, or remove some."""
    word, *rest = cast("list[str]", options.words)
    if word not in ("ls", "add", "rm") or not rest or (word == "ls") != (len(rest) == 1):
        fix = "assetflow partition ls NAME, add NAME KEY…, or rm NAME KEY…"
        raise UsageError(f"`partition {' '.join(options.words)}` is not one of its forms", fix=fix)
    project, name, keys = session.project(), rest[0], rest[1:]
    if word == "ls":
        return _listed(name, project.partition_keys(name))
    found = project.add_partitions(name, keys) if word == "add" else project.remove_partitions(name, keys)
    return _changed(name, "added" if word == "add" else "removed", found)


def _listed(name: str, keys: tuple[str, ...]) -> Answer:
    table = Table((Column("key", "KEY"),), tuple((cell(key),) for key in keys))
    below: list[Line] = [(dim(f" {count(len(keys), 'key')} of {name}"),)]
    return Answer(lambda: {"name": name, "keys": list(keys)}, table=table, below=below)


def _changed(name: str, did: str, keys: tuple[str, ...]) -> Answer:
    text = f" {did} {', '.join(keys)}" if keys else f" nothing {did}: {name} has them already"
    lines: list[Line] = [(text,)]
    if keys and did == "added":
        lines.append((head(" next  "), shell(["assetflow", "plan"])))
    return Answer(lambda: {"name": name, did: list(keys)}, lines)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="+", metavar="ls NAME | add NAME KEY… | rm NAME KEY…",
        help="NAME is that of the definition, or an asset with such partitions",
    )  # fmt: skip


COMMANDS = {
    "partition": Command(
        partition,
        _options,
        (
            ("assetflow partition ls customers", "the keys that there are"),
            ("assetflow partition add customers acme initech", "partitions that can be made from now on"),
        ),
    )
}
