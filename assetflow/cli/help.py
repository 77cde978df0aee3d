"""The help of the whole command line: examples first. It needs no argument parser, so it is there at once."""

from __future__ import annotations

from assetflow.cli.verbs import GLOBALS, SHOWN

EXAMPLES = (
    ("assetflow init shop", "make a project to look at"),
    ("assetflow plan", "what would run, and why"),
    ("assetflow materialize", "run it"),
    ("assetflow status", "what is current, stale or overdue"),
    ("assetflow plan '+orders and tag:gold'", "a selection: what orders is made of, tagged gold"),
    ("assetflow ls --json | jq .data", "every verb speaks JSON"),
)

SECTIONS = {"start": "Start", "look": "Look", "do": "Do", "time": "Over time", "care": "Look after"}


def main_help(*, everything: bool = False) -> str:
    """The text of `assetflow --help`."""
    lines = ["assetflow [OPTIONS] VERB [SELECTION…]", "", "Examples"]
    wide = max(len(command) for command, _ in EXAMPLES)
    lines += [f"  {command:<{wide}}  {meaning}" for command, meaning in EXAMPLES]
    for section, title in SECTIONS.items():
        lines += ["", title]
        for verb in SHOWN:
            if verb.section == section:
                also = f" (also: {', '.join(verb.aliases)})" if verb.aliases else ""
                lines.append(f"  {verb.name:<12} {verb.summary}{also}")
    lines += ["", "Options, before or after the verb"]
    for option in GLOBALS:
        flags = ", ".join(option.flags) + (f" {option.takes}" if option.takes else "")
        lines.append(f"  {flags:<19} {option.summary}")
    lines += ["", *CLOSING]
    if everything:
        lines += ["", "Exit codes", *(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES)]
    return "\n".join(lines) + "\n"


CLOSING = (
    "assetflow VERB --help shows the options of a verb. A selection is a name (orders),",
    "a pattern (stg_*), a neighbourhood (+orders, orders+, 2+orders), an attribute",
    "(tag:gold, is:stale), or several of these with and, or, not and brackets.",
)

EXIT_CODES = (
    (0, "success, also when there was nothing to do"),
    (1, "the run finished and something in it failed"),
    (2, "usage: an option, a selection or a name that does not fit"),
    (3, "the project is not valid"),
    (4, "--exit-code was asked for and its condition is true"),
    (5, "another run or process is in the way"),
    (6, "storage or catalog are damaged"),
    (7, "the catalog was written by a newer assetflow"),
    (70, "a bug in assetflow"),
    (75, "try again later"),
    (124, "the time of the run (--timeout) was over"),
    (130, "interrupted"),
)
