"""`metrics`: the project as it is now, for programs that watch."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.text import Line, count, dim
from assetflow.errors import NotWritable

if TYPE_CHECKING:
    from assetflow.cli.session import Session


def metrics(session: Session, options: Namespace) -> Answer:
    """OpenMetrics text, on stdout or in a file."""
    found = session.project().metrics(now=session.now)
    if options.output is None or session.screen.is_json:
        return Answer(found.to_json, text=found.text)
    path = Path(options.output)
    write_whole(path, found.text)
    written: Line = (dim(f" {count(found.samples, 'sample')} of {count(found.assets, 'asset')} in {path}"),)
    return Answer(found.to_json, text="", hints=(written,))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that who reads it meanwhile sees the one before or this one, and nothing between.

    Raises:
        NotWritable: it cannot be written; the file before is untouched.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with draft.open("wb") as handle:
                handle.write(text.encode())
                handle.flush()
                os.fsync(handle.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritable(
            f"{path} cannot be written: {error.strerror}",
            fix="name a file in a folder that is there and yours: -o FILE",
        ) from error


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", help="write a file, whole or not at all, instead of stdout")


COMMANDS = {
    "metrics": Command(
        metrics,
        _options,
        (
            ("assetflow metrics", "OpenMetrics text"),
            ("assetflow metrics -q -o /var/lib/node_exporter/shop.prom", "for the textfile collector, from cron"),
        ),
        ("openmetrics",),
    ),
}
