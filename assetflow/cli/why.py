"""`why`: the root causes for which an asset would run, with the evidence."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.render_why import causes_table, why_lines, why_not_lines
from assetflow.errors import UsageError

if TYPE_CHECKING:
    from assetflow.cli.session import Session


def why(session: Session, options: Namespace) -> Answer:
    """The root causes, with the evidence."""
    if options.did_not_run:
        if options.against is not None:
            raise UsageError(
                "`--not` is about the last run and `--against` about a version", fix="leave one of them out"
            )
        other = session.project().why_not(options.asset, now=session.now)
        return Answer(other.to_json, why_not_lines(other, session))
    found = session.project().why(options.asset, against=options.against, now=session.now)
    return Answer(found.to_json, why_lines(found, session), causes_table(found))


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help="an asset, maybe with a version to compare with: orders@3")
    parser.add_argument(
        "--against", metavar="VERSION", help="compare with a version (3, HEAD~1, run:41) or environment instead of now"
    )
    parser.add_argument("--not", dest="did_not_run", action="store_true", help="why it did not run in the last run")


COMMANDS = {
    "why": Command(
        why,
        _options,
        (("assetflow why daily_revenue", "what changed, and how it gets there"),
         ("assetflow why daily_revenue --against HEAD~1", "what the last version was made of, and the one before"),
         ("assetflow why daily_revenue --against prod", "and what is current in another environment"),
         ("assetflow why --not daily_revenue", "why it did not run in the last run")),
    ),
}  # fmt: skip
