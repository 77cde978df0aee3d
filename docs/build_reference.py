"""Writes `docs/reference/` from the code, so that it cannot say anything else than the code does.

python docs/build_reference.py            write the pages
python docs/build_reference.py --check    exit 1, and name the pages that would change
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REFERENCE = HERE / "reference"
NOTE = "<!-- Written by docs/build_reference.py from the code. Do not edit. -->\n\n"
WIDTH = 100


def main(arguments: list[str]) -> int:
    """The exit code: 1 when `--check` found pages that are not what the code says."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    pages = build()
    changed = [name for name, text in pages.items() if not _is(REFERENCE / name, text)]
    if "--check" in arguments:
        for name in changed:
            sys.stderr.write(f"docs/reference/{name} is not what the code says; run: python docs/build_reference.py\n")
        return 1 if changed else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in changed:
        (REFERENCE / name).write_text(pages[name], encoding="utf-8")
    sys.stdout.write(f"{len(changed)} of {len(pages)} pages written\n")
    return 0


def build() -> dict[str, str]:
    """The text of every page, by file name."""
    pages = {
        "api.md": api_page,
        "cli.md": cli_page,
        "configuration.md": configuration_page,
        "errors.md": errors_page,
        "selection.md": selection_page,
    }
    return {name: NOTE + make().strip() + "\n" for name, make in pages.items()}


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


# ---------------------------------------------------------------------------------------------------------- cli


def cli_page() -> str:
    """Every verb with its options, from the parsers of the command line."""
    from assetflow.cli.command import Command, parser_of
    from assetflow.cli.help import EXIT_CODES, main_help
    from assetflow.cli.verbs import GLOBALS, SHOWN

    parts = ["# The command line", "", "Options of every verb may stand before or after the verb.", ""]
    parts += ["```text", main_help().rstrip(), "```", "", "## Exit codes", ""]
    parts += [*_table(("code", "meaning"), [(str(code), meaning) for code, meaning in EXIT_CODES])]
    shared = {option.flags for option in GLOBALS}
    for verb in SHOWN:
        commands = cast("Mapping[str, Command]", import_module(f"assetflow.cli.{verb.module}").COMMANDS)
        command = commands[verb.name]
        parser = parser_of(verb, command)
        also = f" Also: {', '.join(f'`{one}`' for one in verb.aliases)}." if verb.aliases else ""
        parts += ["", f"## assetflow {verb.name}", "", f"{_sentence(verb.summary)}{also}", ""]
        parts += ["```text", f"assetflow {verb.name} {verb.synopsis}".rstrip(), "```", ""]
        rows = [_option(action) for action in parser._actions if tuple(action.option_strings) not in shared]
        parts += _table(("option", "meaning"), [row for row in rows if row is not None])
        if command.examples:
            wide = max(len(text) for text, _ in command.examples)
            parts += [
                "",
                "```text",
                *(f"{text:<{wide}}  {meaning}".rstrip() for text, meaning in command.examples),
                "```",
            ]
        if command.formats and command.formats != _default_formats():
            parts += ["", f"`--format` takes {', '.join(command.formats)}."]
    return "\n".join(parts)


def _default_formats() -> tuple[str, ...]:
    from assetflow.cli.verbs import FORMATS

    return FORMATS


def _option(action: argparse.Action) -> tuple[str, str] | None:
    """One row: how the option is written, and its help."""
    if action.help == argparse.SUPPRESS:
        return None
    takes = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else "")
    shown = str(takes) if action.nargs != 0 else ""
    if not action.option_strings:
        return (f"`{takes or action.dest}`", action.help or "")
    return (f"`{', '.join(action.option_strings)}{' ' if shown else ''}{shown}`", action.help or "")


# ------------------------------------------------------------------------------------------------------- errors


def errors_page() -> str:
    """Every error with its code, its exit code and its docstring."""
    from assetflow.errors import error_classes

    parts = [
        "# Errors",
        "",
        "`assetflow explain CODE` prints the same. All are subclasses of `AssetflowError`, with the",
    ]
    parts += ["attributes `what`, `facts`, `fix`, `where`, `code` and `exit_code`.", ""]
    classes = error_classes()
    parts += _table(
        ("code", "class", "exit code"),
        [(f"[{c}](#{c.lower()})", f"`{e.__name__}`", str(e.exit_code)) for c, e in classes.items()],
    )
    for code, error in classes.items():
        parts += [
            "",
            f"## {code}",
            "",
            f"`{error.__name__}`, exit code {error.exit_code}.",
            "",
            inspect.getdoc(error) or "",
        ]
    return "\n".join(parts)


# ------------------------------------------------------------------------------------------------ configuration


MEANINGS = {
    "name": "The project's name on screens. Default: the name of its folder.",
    "modules": "The modules and packages that hold assets, imported with the project's folder and `src/` on the path. "
    "Default: `assets`, if it is there; else the only one that mentions assetflow.",
    "io": "Where tables are stored when neither the asset nor its group says it.",
    "storage": "The folder of stored versions, relative to the project or absolute.",
    "catalog": "The SQLite file that records versions, runs and traces. It must lie on a local disk.",
    "duckdb": 'How assets with `io="duckdb"` are kept: as Parquet with a DuckDB file of `views`, or `native` tables.',
    "hive": "Whether current partitions are in `.assetflow/views` as folders that every reader of Parquet knows.",
    "warehouse": "The DuckDB file of native tables.",
    "executor": "`threads` runs assets side by side, `processes` in child processes, `inline` one after the other in "
    "the calling thread. See [how assets run](../execution.md).",
    "workers": "How many assets run at once. Default: twice the number of processors, at most 8.",
    "stop_grace": "How long what runs may go on when a run is asked to stop (ctrl-c), such as `30s`.",
    "env": "The environment that verbs read and write when `-e` does not name another. Each has heads of its own.",
    "tz": "The time zone of times on screens; what is stored is UTC.",
    "allow_pickle": 'Whether `io="pickle"` may be used. Reading a pickle runs the code that it contains.',
    "retention": "How long versions stay that nothing needs: the newest `keep` (10) of each asset, all of the last "
    "`keep_days` (30), and what was needed within the `grace` (24h).",
    "hash": "The hash of stored content: `xxh3` is fast and finds every accident, `sha256` also withstands forgery. "
    "What is stored already is checked with the one it was written with.",
    "discover": "Whether files that functions open without declaring them are noted while they run, and count.",
    "log_limit": "The largest log of one attempt: a number of bytes, or a text such as `10MB`. Of a longer one the "
    "beginning and the end are kept.",
    "defaults": "What assets take when they do not say it: see below.",
    "groups": "The same for one group, such as `[groups.marts]`; it comes before `[defaults]`.",
    "config": "Fields of the `Config` of an asset: `[config.orders]`, or `[config.marts.orders]` when it has a schema.",
    "resources": "Fields of `Resource` classes: `[resources.HttpClient]`. Environment variables come first.",
    "pools": "How many slots each pool has: `[pools]` with `warehouse = 2`. Assets take them with `pool=`.",
    "selections": 'Saved selections: `nightly = "tag:nightly+"` is selected by `:nightly`.',
    "jobs": "What is run when it is due, such as `[jobs.nightly]`: see below.",
    "alerts": "Who is told when something is wrong, such as `[alerts.team]`: see below.",
}
DEFAULTS_MEANINGS = {
    "retry": "A number of retries, or a table with `times`, `delay` (such as `30s`), `backoff`, `max_delay` "
    "and `jitter` (true, or such as `10%`).",
    "owners": "A list of texts. The most specific list counts: the asset's, the group's, the project's.",
    "io": "`parquet` or `duckdb`.",
    "tags": "A table, or a list of bare tags. Tags of project, group and asset are joined.",
    "packages": "Which upgrades of packages make assets stale, for all or for each by name.",
    "timeout": "How long an asset may run, such as `10min`; it then has a process of its own.",
    "memory": "How much memory an asset and what it starts may take, such as `2GB`; it then has a process of its own.",
    "isolation": "`process` gives each asset a process of its own. See [how assets run](../execution.md).",
    "pool": "The pool that an asset takes a slot of, or a table of pools and how many slots.",
}
JOB_MEANINGS = {
    "select": "The selection that is run. Default: everything.",
    "cron": "When it is due: five fields, or a name such as `@daily`. It must be there, unless there is `on_update`.",
    "tz": "The time zone of the expression, such as `Europe/London`. Default: `UTC`.",
    "catchup": "What becomes of ticks that nobody took up in time: `latest` (the default) runs the newest, `all` runs "
    "every one in order, `none` runs none. What is not run is recorded as missed.",
    "partitions": 'Which partitions, as after `-p`; or `"tick"`: of each asset the newest that there was at the tick.',
    "on_update": "Assets whose new data makes it due. One of another project is a table: `assets`, `project`, `env`.",
    "max_active_runs": "How many of its ticks are taken up at once, 1 (the default) to 16. Their runs take turns.",
    "config": "Fields of the `Config` of assets for these runs, as in `[config]`: `[jobs.nightly.config.rates]`.",
    "env": "The environment that it runs in. Default: the one of who runs it.",
    "enabled": "`false` switches the schedule off; when it is switched on again, it counts from then.",
}
ALERT_MEANINGS = {
    "on": "What the channel is told of, one or a list: `run.failed` (whatever makes a run fail), of that "
    "`asset.failed` or `check.failed` alone, `asset.overdue`, `tick.failed`, `tick.missed`, "
    "`sensor.failed`; or `asset.*`, `tick.*`, `*`. Default: all.",
    "assets": "A selection: only what concerns one of these assets. Default: everything.",
    "url": "Where messages go: `https://…` gets JSON, any other address is for apprise, such as `slack://…`. Write "
    "`env:NAME` for one that is in a variable. This or `command` must be there.",
    "command": "A program with its arguments, as a list: it gets the JSON on its standard input.",
    "quiet": 'When messages wait, such as `"22:00..07:00"`. They are sent when it is over.',
    "tz": "The time zone of `quiet`, such as `Europe/London`. Default: `UTC`.",
    "repeat": "After how long the channel is reminded of what is still wrong, such as `4h`. Default: never.",
    "recovered": "Whether the channel is told when it is over. Default: true.",
    "env": "The environment that the channel is for, such as `prod`. Default: all.",
    "enabled": "`false` switches the channel off.",
}


def configuration_page() -> str:
    """Every key of the project file with its type, its default and what it means."""
    from msgspec import NODEFAULT
    from msgspec.structs import fields

    from assetflow.load.alert_schema import ChannelSettings
    from assetflow.load.finding import ENVIRONMENT_KEYS
    from assetflow.load.schema import (  # the schema is the source
        _Defaults,  # pyright: ignore[reportPrivateUsage]
        _Job,  # pyright: ignore[reportPrivateUsage]
        _Layer,  # pyright: ignore[reportPrivateUsage]
    )
    from assetflow.load.settings import Settings

    built_in = {one.name: one.default for one in fields(Settings) if one.default is not NODEFAULT}
    rows: list[tuple[str, ...]] = []
    for name in _Layer.model_fields:
        default = "" if name in ("workers", "defaults") else _toml(built_in.get(name, ""))
        variable = f"`ASSETFLOW_{name.upper()}`" if name in ENVIRONMENT_KEYS else ""
        rows.append((f"`{name}`", _type_words(_Layer, name), default, variable, MEANINGS[name]))
    below = [(f"`{name}`", _type_words(_Defaults, name), DEFAULTS_MEANINGS[name]) for name in _Defaults.model_fields]
    of_jobs = [(f"`{name}`", _type_words(_Job, name), JOB_MEANINGS[name]) for name in _Job.model_fields]
    of_alerts = [
        (f"`{name}`", _type_words(ChannelSettings, name), ALERT_MEANINGS[name]) for name in ChannelSettings.model_fields
    ]
    return "\n".join([
        "# Configuration",
        "",
        "The keys stand in `assetflow.toml`, or under `[tool.assetflow]` in `pyproject.toml`: in one of the two.",
        "`assetflow.local.toml` beside it, not for git, goes over it; then come `ASSETFLOW_*` variables, then flags.",
        "A key that is not known is an error that names the nearest one. `assetflow config` shows every value and",
        "where it comes from.",
        "",
        *_table(("key", "type", "default", "variable", "meaning"), rows),
        "",
        "## Keys of `[defaults]` and `[groups.NAME]`",
        "",
        *_table(("key", "type", "meaning"), below),
        "",
        "## Keys of `[jobs.NAME]`",
        "",
        *_table(("key", "type", "meaning"), of_jobs),
        "",
        "## Keys of `[alerts.NAME]`",
        "",
        *_table(("key", "type", "meaning"), of_alerts),
    ])  # fmt: skip


def _type_words(model: type, name: str) -> str:
    """The type of a key as people write it, from the JSON schema of the model."""
    from pydantic import BaseModel

    schema = cast("type[BaseModel]", model).model_json_schema()
    found: dict[str, object] = schema["properties"][name]
    return _schema_words(found, schema.get("$defs", {}))


def _schema_words(found: Mapping[str, object], named: Mapping[str, object]) -> str:
    options = [one for one in cast("list[dict[str, object]]", found.get("anyOf", [])) if one.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(_schema_words(one, named) for one in options))
    if "enum" in found:
        return " or ".join(f'`"{one}"`' for one in cast("list[str]", found["enum"]))
    if found.get("type") == "array":
        return f"list of {_schema_words(cast('dict[str, object]', found.get('items', {})), named)}s"
    if found.get("type") == "object" or "$ref" in found:
        return "table"
    words = {"string": "text", "integer": "number", "number": "number", "boolean": "true or false"}
    return words.get(str(found.get("type")), "value")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) and value else ""


# ---------------------------------------------------------------------------------------------------------- api


def api_page() -> str:
    """Every public name with its signature and its docstring."""
    import assetflow

    parts = [
        "# Python API",
        "",
        "`import assetflow as af`. These names, and those of `assetflow.testing`, are public; all",
    ]
    parts += ["others may change. Names are imported on first use, so the import itself is cheap.", ""]
    names = sorted(name for name in assetflow.__all__ if not name.startswith("_"))
    parts += [", ".join(f"[{name}](#{name.lower()})" for name in names)]
    for name in names:
        parts += ["", f"## {name}", "", *_described(name, getattr(assetflow, name))]
    import assetflow.testing as kit

    parts += ["", "## assetflow.testing", "", inspect.getdoc(kit) or ""]
    for name, value in vars(kit).items():
        if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == kit.__name__:
            parts += ["", f"### testing.{name}", "", *_described(name, value)]
    parts += [
        "",
        "## What calls return",
        "",
        "You do not make these yourself; `Project` and `materialize` return them.",
    ]
    for home, name in RETURNED:
        value: type = getattr(import_module(home), name)
        parts += ["", f"### {name}", "", *_described(name, value)]
    return "\n".join(parts)


RETURNED = (
    ("assetflow.plan.planner", "Plan"),
    ("assetflow.plan.planner", "Step"),
    ("assetflow.plan.staleness", "Reason"),
    ("assetflow.run.outcome", "RunResult"),
    ("assetflow.run.outcome", "StepOutcome"),
    ("assetflow.run.outcome", "StepError"),
    ("assetflow.memory", "MemoryResult"),
    ("assetflow.memory", "MemoryAsset"),
    ("assetflow.automation.chunks", "BackfillPlan"),
    ("assetflow.automation.backfilling", "BackfillResult"),
    ("assetflow.automation.backfilling", "BackfillListener"),
    ("assetflow.model.backfills", "Backfill"),
    ("assetflow.views", "Status"),
    ("assetflow.views", "AssetStatus"),
    ("assetflow.plan.lateness", "LateCause"),
    ("assetflow.plan.lateness", "LateRoot"),
    ("assetflow.observing.metrics", "Metrics"),
    ("assetflow.views", "AssetView"),
    ("assetflow.views", "HistoryEntry"),
    ("assetflow.views", "Preview"),
    ("assetflow.views", "LogFile"),
    ("assetflow.io.sql", "QueryResult"),
)
"""Classes of returned values, with the modules that they live in today; those modules are not public."""


def _described(name: str, value: object) -> list[str]:
    if not inspect.isclass(value):
        return [*_code(_signature(name, cast("Callable[..., object]", value))), "", *_docstring(value)]
    parts = [*_code(_class_signature(name, value)), "", *_docstring(value)]
    members = [
        (member, found)
        for member, found in vars(value).items()
        if not member.startswith("_")
        and member != "model_config"
        and (inspect.getdoc(found) or "")
        and _is_method(found)
    ]
    for member, found in members:
        if isinstance(found, property):
            parts += ["", f"**`.{member}`**: {_flat(inspect.getdoc(found))}"]
        else:
            plain = found.__func__ if isinstance(found, (classmethod, staticmethod)) else found
            parts += ["", *_code(f".{_signature(member, plain)}"), "", *_docstring(plain)]
    return parts


def _is_method(value: object) -> bool:
    return isinstance(value, (property, classmethod, staticmethod)) or inspect.isfunction(value)


def _class_signature(name: str, value: type) -> str:
    if issubclass(value, BaseException):
        return f"class {name}({value.__bases__[0].__name__})" if name != "Skip" else 'class Skip(reason: str = "")'
    given = getattr(value, "__init__", None)
    if inspect.isfunction(given) and value.__module__.startswith("assetflow") and not _is_pydantic(value):
        return _signature(name, given).removesuffix(" -> None")
    return f"class {name}"


def _is_pydantic(value: type) -> bool:
    return hasattr(value, "model_fields") or "SecretStr" in [base.__name__ for base in value.__mro__]


def _signature(name: str, function: Callable[..., object]) -> str:
    text = re.sub(r"<factory>|<class '(\w+)'>", lambda m: m[1] or "{}", str(inspect.signature(function)))
    text = re.sub(r": '([^']*)'", r": \1", text)
    text = re.sub(r"-> '([^']*)'", r"-> \1", text)
    whole = name + re.sub(r"^\((self|cls)(, |(?=\)))", "(", text)
    if len(whole) <= WIDTH:
        return whole
    inside, _, after = whole[len(name) + 1 :].rpartition(")")
    return f"{name}(\n    " + ",\n    ".join(_split(inside)) + f",\n){after}"


def _split(text: str) -> list[str]:
    """The parameters of a signature: cut at commas outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        quote = "" if letter == quote else quote or (letter if letter in "'\"" else "")
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _docstring(value: object) -> list[str]:
    """The docstring as Markdown: sections in bold, examples and lists of errors as code."""
    lines: list[str] = []
    is_code = False
    for line in (inspect.getdoc(value) or "").splitlines():
        section = re.match(r"(Args|Raises|Example|Returns|Yields|Source):$", line)
        if section:
            lines = [*_without_blank_end(lines), "```", ""] if is_code else lines
            lines += [f"{section[1]}:", "", "```text" if section[1] != "Example" else "```pycon"]
            is_code = True
        elif is_code and line and not line.startswith(" "):
            lines = [*_without_blank_end(lines), "```", "", line]
            is_code = False
        else:
            lines.append(line.removeprefix("    ") if is_code else line)
    return [*_without_blank_end(lines), "```"] if is_code else lines


def _without_blank_end(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


# ---------------------------------------------------------------------------------------------------- selection


def selection_page() -> str:
    """The selection language: its grammar from the parser, its words from the lists that the parser reads."""
    from assetflow.plan import selection, selection_parse, selection_words as words

    table = (selection.__doc__ or "").split("\n\n")
    grammar = next(part for part in (selection_parse.__doc__ or "").split("\n\n") if ":=" in part)
    rest = "\n\n".join(table[2:])
    return "\n".join([
        "# The selection language",
        "",
        "Which assets a verb is about: `assetflow plan '+orders and not tag:slow'`, `project.select(\"+orders\")`.",
        "Quote what the shell would read itself: `*`, `(`, `!`, `|`, `&`.",
        "",
        "```text", inspect.cleandoc("\n" + table[1]), "```",
        "",
        rest.strip(),
        "",
        "## Words",
        "",
        *_table(("attribute", "values"), [
            ("`is:`", _quoted([*words.STATES, *words.KINDS])),
            ("`why:`", _quoted(words.REASONS)),
            ("`last:`", _quoted(words.ATTEMPTS)),
            ("`changed:`", _quoted(words.CHANGES)),
        ]),
        "",
        f"All attributes: {_quoted(words.ATTRIBUTES)}. Functions: {_quoted(words.FUNCTIONS)}.",
        "",
        "## Grammar",
        "",
        "```text", inspect.cleandoc("\n" + grammar), "```",
    ])  # fmt: skip


# ------------------------------------------------------------------------------------------------------ Markdown


def _quoted(words: object) -> str:
    return ", ".join(f"`{word}`" for word in cast("list[str]", words))


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', ')')) or not text else '.'}"


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())


def _code(text: str) -> list[str]:
    return ["```text", *text.splitlines(), "```"]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
