"""The list of verbs: names, aliases, and where each is built. Help, completion and dispatch read it."""

from __future__ import annotations


class Verb:
    """One verb of the command line; its module is imported only when it runs."""

    __slots__ = ("aliases", "module", "name", "section", "summary", "synopsis")

    def __init__(
        self, section: str, name: str, aliases: tuple[str, ...], synopsis: str, summary: str, module: str
    ) -> None:
        self.section, self.name, self.aliases = section, name, aliases
        self.synopsis, self.summary, self.module = synopsis, summary, module


VERBS = (
    Verb("start", "init", (), "[DIR]", "make a small project that runs at once", "starting"),
    Verb("start", "explain", (), "[CODE]", "the page of an error code", "starting"),
    Verb("start", "completion", (), "SHELL", "completion script for bash, zsh or fish", "completing"),
    Verb("look", "status", ("st",), "[SELECTION…]", "what is current, stale, failed or overdue", "looking"),
    Verb("look", "ls", ("list",), "[SELECTION…]", "the assets with state, version, rows and age", "looking"),
    Verb("look", "show", (), "ASSET", "everything about one asset", "showing"),
    Verb("look", "why", (), "ASSET", "the root causes for which an asset would run, with the evidence", "why"),
    Verb("look", "lineage", ("graph",), "[SELECTION…]", "which asset takes which, as tree, picture or text", "drawing"),
    Verb("look", "history", (), "ASSET", "the versions of an asset and why they were made", "showing"),
    Verb("look", "preview", ("head",), "ASSET[@VERSION]", "the first rows of a table", "data"),
    Verb("look", "diff", (), "OLD [NEW]", "how two versions differ: rows, columns, and why", "differing"),
    Verb("look", "sql", ("query",), "[SQL | -f FILE | -]", "query the assets with SQL, read-only", "data"),
    Verb("look", "logs", (), "[RUN | ASSET]", "what assets printed and logged", "logs"),
    Verb(
        "look",
        "runs",
        (),
        "[ls | show RUN | compare OLD NEW | cancel RUN]",
        "the last runs, one of them, or how two differ",
        "running",
    ),
    Verb("look", "metrics", (), "[-o FILE]", "the project as it is now, as OpenMetrics text", "measuring"),
    Verb("look", "config", (), "", "every setting and where its value comes from", "starting"),
    Verb("do", "plan", (), "[SELECTION…]", "what would run, and why; nothing is changed", "planning"),
    Verb("do", "materialize", ("mat", "run"), "[SELECTION…]", "run what is not current", "planning"),
    Verb("do", "retry", ("resume",), "[RUN]", "run what a run left; all that it built stays", "cancelling"),
    Verb(
        "do",
        "backfill",
        (),
        "[SELECTION… -p KEYS | --resume ID | --pause ID | ls]",
        "make many partitions, in several runs",
        "backfilling",
    ),
    Verb("do", "cancel", (), "RUN", "stop a run that is going on; what it built stays", "cancelling"),
    Verb("do", "check", (), "[SELECTION…]", "what the code says against itself, without running it", "checking"),
    Verb("do", "verify", (), "SELECTION…", "run again on the same inputs, and compare; nothing is kept", "verifying"),
    Verb("do", "watch", (), "[SELECTION…]", "plan again whenever a file is saved; --run runs it", "watching"),
    Verb("do", "rollback", (), "SELECTION…", "make earlier versions current again; no data changes", "pointing"),
    Verb("do", "pin", (), "SELECTION[@VERSION]…", "keep assets at their versions", "pointing"),
    Verb("do", "unpin", (), "SELECTION…", "let runs have pinned assets again", "pointing"),
    Verb("do", "accept", (), "SELECTION…", "an edit changes no result: what there is stands for it", "marking"),
    Verb("do", "invalidate", (), "SELECTION…", "what was computed does not count; it runs again", "marking"),
    Verb("do", "mark", (), "SELECTION…", "overrule the planner: current or stale, with a reason", "marking"),
    Verb(
        "time",
        "schedule",
        (),
        "[ls | next JOB | tick [JOB] | pause JOB | resume JOB | history JOB]",
        "the jobs: when they are due, and what became of each time",
        "scheduling",
    ),
    Verb(
        "time",
        "sensor",
        (),
        "[ls | tick [SENSOR] | pause SENSOR | resume SENSOR | history SENSOR]",
        "what is looked at by itself: sensors, and jobs with on_update",
        "watched",
    ),
    Verb("time", "daemon", (), "run | status | stop", "run the jobs when they are due, and the sensors", "daemon"),
    Verb(
        "time",
        "alert",
        (),
        "[ls | test [CHANNEL] | history | send]",
        "who is told of what, and what is wrong now",
        "alerting",
    ),
    Verb("do", "partition", (), "ls | add | rm NAME [KEY…]", "the keys of dynamic partitions", "keying"),
    Verb("care", "gc", (), "", "delete the versions that nothing needs", "caring"),
    Verb("care", "doctor", (), "", "look for damage in what is stored, and mend it", "caring"),
    Verb("", "__complete", (), "", "", "completing"),
    Verb("", "__tick", (), "JOB", "", "ticking"),
    Verb("", "__look", (), "SENSOR", "", "looks"),
    Verb("", "__request", (), "SENSOR", "", "requesting"),
    Verb("", "__load", (), "", "", "daemon"),
)
"""Every verb, in the order of the help. Those without a section are hidden."""

BY_NAME = {name: verb for verb in VERBS for name in (verb.name, *verb.aliases)}

SHOWN = tuple(verb for verb in VERBS if verb.section)


class Global:
    """An option of every verb; it may stand before or after the verb. `takes` names its value; empty for a switch."""

    __slots__ = ("choices", "flags", "summary", "takes")

    def __init__(self, flags: tuple[str, ...], takes: str, summary: str, choices: tuple[str, ...] = ()) -> None:
        self.flags, self.takes, self.summary, self.choices = flags, takes, summary, choices


FORMATS = ("table", "plain", "tsv", "csv", "md", "jsonl")

GLOBALS = (
    Global(("-C", "--project"), "DIR", "the project's folder (default: the nearest one upwards)"),
    Global(("-e", "--env"), "NAME", "environment (default: $ASSETFLOW_ENV, the settings, then dev)"),
    Global(("--json",), "", "one JSON document on stdout"),
    Global(("--format",), "FORMAT", "table, plain, tsv, csv, md or jsonl (default: table on a terminal, else plain)"),
    Global(("--color",), "WHEN", "auto, always or never", ("auto", "always", "never")),
    Global(("--ascii",), "", "no glyphs"),
    Global(
        ("--progress",), "HOW", "auto, rich, plain, summary, jsonl or none",
        ("auto", "rich", "plain", "summary", "jsonl", "none"),
    ),
    Global(("-q", "--quiet"), "", "no hints, no progress"),
    Global(("-v", "--verbose"), "", "more facts"),
    Global(("--traceback",), "WHOSE", "user (default) or full: show our frames too", ("user", "full")),
    Global(("-y", "--yes"), "", "answer yes to every question"),
    Global(("--no-input",), "", "never ask; fail instead"),
    Global(("--utc",), "", "show times in UTC"),
    Global(("--tz",), "ZONE", "show times in a zone such as Europe/London"),
    Global(("-h", "--help"), "", "help for the verb"),
    Global(("--version",), "", "the version of assetflow"),
)  # fmt: skip

TAKING = frozenset(flag for option in GLOBALS if option.takes for flag in option.flags)
"""Flags of global options whose value may be the next argument."""
