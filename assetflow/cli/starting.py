"""`init`, `explain` and `config`: what a project begins with, and what it is told."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import BLANK, Line, Piece, aligned, count, dim, good, head, shell, strong, wrapped
from assetflow.errors import AssetflowError, NotWritable, UsageError, error_classes, near_names
from assetflow.model.policies import Retry

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.load.settings import Settings

TEMPLATE = Path(__file__).parent.parent / "templates" / "shop"
SUFFIX = ".template"
"""Behind the names of template files that tools would otherwise take for a part of assetflow."""

_SECRETS = ("password", "secret", "token", "key", "credential", "dsn")


# ---------------------------------------------------------------------------------------------------------- init


def init(session: Session, options: Namespace) -> Answer:
    """Write a small project that runs at once; nothing that exists is changed."""
    target = Path(options.project or ".") / (options.dir or ".")
    made, kept = write_template(TEMPLATE, target)
    here = target.resolve() == Path.cwd()
    descriptions = {"assetflow.toml": "the project file", "data": "orders and payments as CSV"}
    rows: list[tuple[Piece, ...]] = []
    for file in made:
        rows.append(("", good("created"), file, dim(descriptions.get(file.partition("/")[0], ""))))
    for file in kept:
        rows.append(("", dim("kept"), file, dim("it was there before")))
    go = "" if here else f"{shell(['cd', str(options.dir or target)])} && "
    name = str(target) if not here else target.resolve().name or str(target.resolve())
    answer = {"folder": str(target.resolve()), "created": made, "kept": kept}
    if not made:
        lines: list[Line] = [
            (" ", strong(name), f" · nothing created: all {count(len(kept), 'file')} were there before"),
            (head(" next  "), f"{go}assetflow status", dim("   where the project stands")),
        ]
        return Answer(lambda: answer, lines)
    lines = [
        (" ", strong(name), f" · {count(len(made), 'file')} created"
         + (f", {len(kept)} kept as they were" if kept else "")),
        *aligned(rows),
        BLANK,
        *aligned([
            (head("next"), f"{go}assetflow plan", dim("what would run, and why")),
            ("", "assetflow materialize", dim("run it: about a second")),
            ("", "assetflow preview daily_revenue", dim("look at the result")),
        ]),
    ]  # fmt: skip
    return Answer(lambda: answer, lines)


def write_template(template: Path, target: Path) -> tuple[list[str], list[str]]:
    """Copy what is missing; the names of the files made and of those kept.

    Raises:
        UsageError: the target is a file.
        NotWritable: the folder cannot be written.
    """
    from assetflow.load.settings import find_project

    made: list[str] = []
    kept: list[str] = []
    if target.exists() and not target.is_dir():
        raise UsageError(f"`{target}` is a file", fix="name a folder: assetflow init shop")
    try:
        target.mkdir(parents=True, exist_ok=True)
        try:
            has_settings = find_project(target).parent == target.absolute()
        except AssetflowError:
            has_settings = False
        for source in sorted(template.rglob("*")):
            if source.is_dir() or "__pycache__" in source.parts:
                continue
            name = source.relative_to(template).as_posix().removesuffix(SUFFIX)
            path = target / name
            if path.exists() or (name == "assetflow.toml" and has_settings):
                kept.append(name)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:  # x: never over a file that appeared meanwhile
                stream.write(source.read_bytes())
            made.append(name)
    except OSError as error:
        raise NotWritable(f"`{target}` cannot be written: {error.strerror}") from error
    return made, kept


# ------------------------------------------------------------------------------------------------------- explain


def explain(session: Session, options: Namespace) -> Answer:
    """The page of an error code, or the list of them."""
    classes = error_classes()
    if options.code is None:
        columns = (Column("code", "CODE"), Column("name", "NAME"), Column("exit_code", "EXIT", is_right=True),
                   Column("meaning", "MEANING", least=30))  # fmt: skip
        rows = tuple(
            (cell(code, strong(code)), cell(cls.__name__), cell(cls.exit_code), cell(page(cls).partition("\n")[0]))
            for code, cls in classes.items()
        )
        below: Line = (dim(f" {count(len(rows), 'code')} · assetflow explain AF101 shows a page"),)
        return Answer(
            lambda: {"codes": [_code_document(code, cls) for code, cls in classes.items()]},
            table=Table(columns, rows),
            below=(below,),
        )
    code = options.code.upper()
    code = f"AF{int(code):03d}" if code.isdecimal() else code
    if code not in classes:
        near = near_names(code, classes, 1)
        fix = f"did you mean `assetflow explain {near[0]}`?" if near else "assetflow explain lists the codes"
        raise UsageError(f"there is no error code `{options.code}`", fix=fix)
    cls = classes[code]
    lines: list[Line] = [(" ", strong(code), f"  {cls.__name__}", dim(f" · exit code {cls.exit_code}")), BLANK]
    lines += page_lines(page(cls), session.width)
    return Answer(lambda: _code_document(code, cls), lines)


def page(cls: type[AssetflowError]) -> str:
    """The docstring of an error class, without indentation."""
    import inspect

    return inspect.cleandoc(cls.__doc__ or "")


def page_lines(text: str, width: int) -> list[Line]:
    """The text with its paragraphs broken to the width; indented blocks stay as they are."""
    lines: list[Line] = []
    for paragraph in text.split("\n\n"):
        if lines:
            lines.append(BLANK)
        if paragraph.startswith(" "):
            lines += [(f" {line}",) for line in paragraph.splitlines()]
        else:
            lines += wrapped((" ",), paragraph.split(), width=width, separator=" ")
    return lines


def _code_document(code: str, cls: type[AssetflowError]) -> dict[str, object]:
    return {"code": code, "name": cls.__name__, "exit_code": cls.exit_code, "page": page(cls)}


# -------------------------------------------------------------------------------------------------------- config


def config(session: Session, options: Namespace) -> Answer:
    """Every setting and where its value comes from."""
    from assetflow.load.settings import read_settings

    overrides = {} if options.env is None else {"env": options.env}
    settings = read_settings(Path(options.project or "."), overrides)
    found = setting_rows(settings)
    columns = (Column("setting", "SETTING"), Column("value", "VALUE", least=20), Column("origin", "FROM"))
    rows = tuple((cell(name, strong(name)), cell(value, _shown(value)), cell(origin)) for name, value, origin in found)
    return Answer(
        lambda: {
            "root": str(settings.root),
            "settings": [{"setting": name, "value": value, "origin": origin} for name, value, origin in found],
        },
        table=Table(columns, rows),
        below=((dim(f" {settings.root}"),),),
    )


def setting_rows(settings: Settings) -> list[tuple[str, object, str]]:
    """Name, value and origin of every setting; tables are written out, and what looks like a secret is hidden."""
    found: list[tuple[str, object, str]] = []
    for name in settings.__struct_fields__:
        if name == "settings_key":
            continue
        if name in ("root", "file", "home_env", "origins", "defaults", "groups"):
            continue
        value = cast("object", getattr(settings, name))
        if name == "retention":
            value = _as_written(settings.retention)
        if name == "stop_grace":
            value = f"{settings.stop_grace:g}s"
        if isinstance(value, Mapping):
            found += _table_rows(settings, (name,), cast("Mapping[str, object]", value))
        else:
            shown = list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
            found.append((name, shown, settings.origin(name)))
    for path in settings.origins:
        parts = path.split(".")
        if parts[0] in ("defaults", "groups"):
            found.append((path, _inner(settings, parts), settings.origins[path]))
    return found


def _as_written(retention: Mapping[str, float]) -> dict[str, object]:
    """How long versions stay, as the project file says it."""
    hours = retention["grace"] / 3600
    grace = f"{hours:g}h" if hours.is_integer() else f"{retention['grace']:g}s"
    days = retention["keep_days"]
    return {
        "keep": int(retention["keep"]),
        "keep_days": int(days) if float(days).is_integer() else days,
        "grace": grace,
    }


def _table_rows(
    settings: Settings, path: tuple[str, ...], table: Mapping[str, object]
) -> list[tuple[str, object, str]]:
    found: list[tuple[str, object, str]] = []
    for name, value in table.items():
        inner = (*path, name)
        if isinstance(value, Mapping):
            found += _table_rows(settings, inner, cast("Mapping[str, object]", value))
        else:
            is_secret = any(word in name.lower() for word in _SECRETS) or (path[0], name) == ("alerts", "url")
            found.append((".".join(inner), "***" if is_secret else value, settings.origin(*inner)))
    return found


def _inner(settings: Settings, parts: list[str]) -> object:
    """A value of the defaults, or of those of a group."""
    value: object = settings
    for part in parts:
        value = (
            cast("Mapping[str, object]", value).get(part) if isinstance(value, Mapping) else getattr(value, part, None)
        )
    if isinstance(value, Retry):
        shown = {"times": value.times, "delay": f"{value.delay_s:g}s", "backoff": value.backoff}
        more = {"max_delay": value.max_delay_s and f"{value.max_delay_s:g}s", "jitter": value.jitter}
        return {**shown, **{name: one for name, one in more.items() if one}}
    if isinstance(value, tuple):
        return list(cast("tuple[object, ...]", value))
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in cast("list[object]", value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {one}" for name, one in cast("Mapping[str, object]", value).items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _init_options(parser: ArgumentParser) -> None:
    parser.add_argument("dir", nargs="?", metavar="DIR", help="the folder (default: this one)")


def _explain_options(parser: ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", metavar="CODE", help="such as AF101; without it, the list")


def _config_options(parser: ArgumentParser) -> None:
    parser.add_argument("--origin", action="store_true", help="where each value comes from (always shown)")


COMMANDS = {
    "init": Command(init, _init_options, (("assetflow init shop", "in a new folder"), ("assetflow init", "here"))),
    "explain": Command(explain, _explain_options, (("assetflow explain AF101", "one code"),)),
    "config": Command(config, _config_options, (("assetflow config", "all settings"),)),
}
