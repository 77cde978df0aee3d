"""`completion`, and the hidden verb behind it: what could stand at the cursor. User code is never imported."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, command_of, parser_of
from assetflow.cli.verbs import BY_NAME, GLOBALS, SHOWN, TAKING, Verb
from assetflow.errors import AssetflowError, UsageError, error_classes
from assetflow.model.keys import AssetKey, split_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assetflow.catalog.catalog import Catalog
    from assetflow.cli.session import Session
    from assetflow.model.records import Run
    from assetflow.model.spec import AssetSpec

T = TypeVar("T")

_KEYS = (
    "status", "ls", "lineage", "plan", "materialize", "show", "history", "preview", "logs", "rollback",
    "pin", "unpin", "why", "check", "verify", "watch", "backfill",
)  # fmt: skip

BASH = r"""# assetflow completion for bash; load it with:  eval "$(assetflow completion bash)"
_assetflow() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    case "${COMPREPLY[*]}" in
        *[:+]) compopt -o nospace ;;
    esac
}
complete -o default -F _assetflow assetflow af
"""

ZSH = r"""#compdef assetflow af
# assetflow completion for zsh; load it with:  eval "$(assetflow completion zsh)"
_assetflow() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -Q -- $found
    else
        _files
    fi
}
compdef _assetflow assetflow af
"""

FISH = r"""# assetflow completion for fish; load it with:  assetflow completion fish | source
function __assetflow_complete
    assetflow __complete fish (commandline -cp) 2>/dev/null
end
complete -c assetflow -f -a '(__assetflow_complete)'
complete -c af -f -a '(__assetflow_complete)'
"""

EXECUTORS = ("threads", "processes", "inline")
"""Those of `assetflow.run.session`, which a key press is no time to import."""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(session: Session, options: Namespace) -> Answer:
    """The script for a shell."""
    if options.shell not in SCRIPTS:
        raise UsageError(f"there is no completion for `{options.shell}`", fix="choose bash, zsh or fish")
    script = SCRIPTS[options.shell]
    return Answer(lambda: {"shell": options.shell, "script": script}, text=script)


def complete(session: Session, options: Namespace) -> Answer:
    """What could stand at the end of a line, one candidate a line."""
    shell, line = options.shell, options.line or ""
    found = candidates(line)
    current = _words(line)[-1]
    if shell == "bash":
        # bash takes : and = for ends of words, and wants only what comes after them.
        cut = max(current.rfind(":"), current.rfind("=")) + 1
        found = [one[cut:] for one in found if one.startswith(current[:cut])]
    return Answer(lambda: {"candidates": found}, text="".join([one + "\n" for one in found]))


def candidates(line: str) -> list[str]:
    """Every word that could stand at the end of the command line, sorted; none where a file could stand."""
    *before, current = _words(line)
    before = before[1:]  # the command itself
    verb, place = _verb_of(before)
    last = before[-1] if before else ""
    if last in ("-C", "--project"):
        return []
    if last in ("-e", "--env"):
        return [name for name in _environments(_project_folder(before)) if name.startswith(current)]
    if verb is None and place < len(before):
        return []  # a verb that does not exist
    if verb is None:
        found = _flags_of(None) if current.startswith("-") else [name for one in SHOWN for name in (one.name,)]
        if last in TAKING:
            found = _values_of(None, last)
    elif last.startswith("-") and (values := _values_for(verb, last, before, place)) is not None:
        found = values
    elif current.startswith("--") and "=" in current:
        flag = current.partition("=")[0]
        found = [f"{flag}={value}" for value in _values_for(verb, flag, before, place) or ()]
    elif current.startswith("-"):
        found = _flags_of(verb)
    else:
        found = _arguments_of(verb, before, place, current)
    return sorted({one for one in found or () if one.startswith(current)})


def _words(line: str) -> list[str]:
    """The words of an unfinished line, the last one maybe empty; quotes are taken off."""
    words = [""]
    quote = ""
    for sign in line:
        if quote:
            if sign == quote:
                quote = ""
            else:
                words[-1] += sign
        elif sign in "'\"":
            quote = sign
        elif sign.isspace():
            if words[-1]:
                words.append("")
        else:
            words[-1] += sign
    return words if len(words) > 1 else [words[0], ""]


def _verb_of(before: list[str]) -> tuple[Verb | None, int]:
    index = 0
    while index < len(before):
        if not before[index].startswith("-"):
            return BY_NAME.get(before[index]), index
        index += 2 if before[index] in TAKING else 1
    return None, len(before)


def _flags_of(verb: Verb | None) -> list[str]:
    if verb is None:
        return [flag for option in GLOBALS for flag in option.flags if flag.startswith("--")]
    actions = parser_of(verb, command_of(verb))._actions  # argparse offers no other way
    return [flag for action in actions for flag in action.option_strings if flag.startswith("--")]


def _values_of(verb: Verb | None, flag: str) -> list[str] | None:
    """The values that a flag takes: a list, empty for anything (files), None when it takes none."""
    if verb is None:
        return next((list(option.choices) for option in GLOBALS if flag in option.flags and option.takes), None)
    for action in parser_of(verb, command_of(verb))._actions:
        if flag in action.option_strings and action.nargs != 0:
            return [str(choice) for choice in action.choices or ()]
    return None


def _values_for(verb: Verb, flag: str, before: list[str], place: int) -> Iterable[str] | None:
    """As `_values_of`, with what the parser has no list of: executors, and what there is to compare with."""
    values = _values_of(verb, flag)
    if flag == "--executor" and values is not None:
        return EXECUTORS
    if flag != "--against" or values is None:
        return values
    folder = _project_folder(before)
    names = before[place + 1 :] if verb.name == "why" else []
    versions = [one for name in names if not name.startswith("-") for one in _versions(folder, name)]
    runs = _newest_runs(folder)
    steps = ["HEAD~1"] if verb.name == "why" else []
    return [*versions, *steps, *(run.env for run in runs), *(f"run:{run.run_id}" for run in runs)]


def _arguments_of(verb: Verb, before: list[str], place: int, current: str) -> Iterable[str]:
    if verb.name == "explain":
        return list(error_classes())
    if verb.name == "completion":
        return list(SCRIPTS)
    if verb.name == "runs":
        return _run_words(before, place)
    if verb.name == "daemon":
        return ["run", "status", "stop"] if not before[place + 1 :] else []
    if verb.name == "schedule":
        return _schedule_words(before, place)
    if verb.name == "sensor":
        return _sensor_words(before, place)
    if verb.name == "alert":
        return _alert_words(before, place)
    if verb.name not in _KEYS:
        return []
    specs = _specs(_project_folder(before))
    if verb.name in ("preview", "pin", "why") and "@" in current:
        return _versions(_project_folder(before), current.partition("@")[0])
    if verb.name in ("show", "history", "preview", "logs", "why"):
        return [spec.key for spec in specs]
    return selection_words(specs, current, lambda: _names_in(before, "selections"))


def _run_words(before: list[str], place: int) -> Iterable[str]:
    """The forms of `runs`, and behind them the numbers of runs; `cancel` takes those that go on."""
    words = before[place + 1 :]
    if not words:
        return ["ls", "show", "compare", "cancel"]
    if words == ["cancel"]:
        return [str(run.run_id) for run in _newest_runs(_project_folder(before)) if run.state == "running"]
    wants_run = words == ["show"] or (words[0] == "compare" and len(words) < 3)
    return _runs(_project_folder(before)) if wants_run else []


def _schedule_words(before: list[str], place: int) -> Iterable[str]:
    """The forms of `schedule`, and behind most of them the names of the jobs."""
    words = before[place + 1 :]
    if not words:
        return ["ls", "next", "tick", "pause", "resume", "history"]
    return [] if len(words) > 1 or words[0] == "ls" else _names_in(before, "jobs")


def _alert_words(before: list[str], place: int) -> Iterable[str]:
    """The forms of `alert`, and behind `test` the names of the channels."""
    words = before[place + 1 :]
    if not words:
        return ["ls", "test", "history", "send"]
    return _names_in(before, "alerts") if words == ["test"] else []


def _names_in(before: list[str], table: str) -> Iterable[str]:
    """The names in a table of the settings; none when these cannot be read."""
    from assetflow.load.settings import read_settings

    folder = _project_folder(before)
    try:
        settings = read_settings(folder)
    except AssetflowError:
        return []
    if table != "jobs":
        return settings.alerts if table == "alerts" else settings.selections
    return [*settings.jobs, *_cached(folder, "automation", {}).get("jobs", ())]


def _sensor_words(before: list[str], place: int) -> Iterable[str]:
    """The forms of `sensor`, and behind most of them the names of the sensors and of jobs with `on_update`."""
    words = [word for word in before[place + 1 :] if not word.startswith("-")]
    if not words:
        return ["ls", "tick", "pause", "resume", "history"]
    if len(words) > 1 or words[0] == "ls":
        return []
    found = _cached(_project_folder(before), "automation", {})
    jobs = [name for name, job in found.get("jobs", {}).items() if job.get("on_update")]
    return [*(one[0] for one in found.get("sensors", ())), *jobs]


def selection_words(specs: Iterable[AssetSpec], current: str, saved: Callable[[], Iterable[str]] = tuple) -> list[str]:
    """How the selection that ends in `current` could go on: keys behind `+` and brackets, attributes, their values.

    `saved` gives the names of saved selections, which a colon stands before.
    """
    from assetflow.plan.selection_words import CLOSED

    start = len(current)
    while start and current[start - 1] not in "+(!| ":
        start -= 1
    lead, word = current[:start], current[start:]
    name, colon, _ = word.partition(":")
    specs = list(specs)
    if not colon:
        found = [
            *(spec.key for spec in specs),
            *(f"{name}:" for name in ("tag", "group", "owner", "is", "why", "last")),
        ]
    elif not name:
        found = [f":{one}" for one in saved()]
    elif name == "tag":
        found = [f"tag:{tag}" for spec in specs for tag in spec.tags]
    elif name == "group":
        found = [f"group:{spec.group}" for spec in specs]
    elif name == "owner":
        found = [f"owner:{owner}" for spec in specs for owner in spec.owners]
    else:
        found = [f"{name}:{value}" for value in CLOSED.get(name, ())]
    return [lead + one for one in found]


def _project_folder(before: list[str]) -> Path:
    for flag, value in pairwise(before):
        if flag in ("-C", "--project"):
            return Path(value).expanduser()
    return Path.cwd()


def _specs(folder: Path) -> tuple[AssetSpec, ...]:
    """The assets of the manifest, also when it is out of date; none when there is no project or no manifest."""
    from assetflow.model.spec import spec_from_json

    return tuple(spec_from_json(spec) for spec in _cached(folder, "specs", []))


def _cached(folder: Path, key: str, otherwise: Any) -> Any:
    """What the manifest has, also when it is out of date."""
    import json

    from assetflow.load.sealed import unsealed
    from assetflow.load.settings import find_project

    try:
        path = find_project(folder).parent / ".assetflow" / "cache" / "manifest-specs.json"
        return json.loads(unsealed(path.read_bytes()))[key]
    except (AssetflowError, OSError, ValueError, KeyError, TypeError):
        return otherwise  # a key press is no time for errors


def _environments(folder: Path) -> list[str]:
    """The environments that runs were made in."""
    return sorted({run.env for run in _newest_runs(folder)})


def _runs(folder: Path) -> list[str]:
    return [str(run.run_id) for run in _newest_runs(folder)]


def _newest_runs(folder: Path) -> list[Run]:
    def newest(catalog: Catalog, env: str) -> list[Run]:
        return catalog.runs(50)

    return _looked_up(folder, newest)


def _versions(folder: Path, name: str) -> list[str]:
    """`orders@3`, the newest versions of an asset, or of a partition: those of several have no common number."""
    asset, partition = split_slot(AssetKey(name))
    keys = [spec.key for spec in _specs(folder) if spec.key == asset]

    def versions(catalog: Catalog, env: str) -> list[str]:
        return [move.version.name for key in keys for move in catalog.history(env, key, 50, (partition,))]

    return _looked_up(folder, versions)


def _looked_up(folder: Path, ask: Callable[[Catalog, str], list[T]]) -> list[T]:
    """What the catalog says; nothing when there is none, or it cannot be read now."""
    from assetflow.catalog.catalog import Catalog
    from assetflow.load.settings import read_settings

    try:
        settings = read_settings(folder, {})
        if not settings.catalog_path.exists():
            return []
        catalog = Catalog(settings.catalog_path)
        try:
            return ask(catalog, settings.env)
        finally:
            catalog.close()
    except AssetflowError:
        return []  # a key press is no time for errors


def _completion_options(parser: ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", help="bash, zsh or fish")


def _complete_options(parser: ArgumentParser) -> None:
    parser.add_argument("shell")
    parser.add_argument("line", nargs="?")


COMMANDS = {
    "completion": Command(
        completion,
        _completion_options,
        (('eval "$(assetflow completion bash)"', "in ~/.bashrc"), ('eval "$(assetflow completion zsh)"', "in ~/.zshrc"),
         ("assetflow completion fish | source", "in config.fish")),
    ),
    "__complete": Command(complete, _complete_options),
}  # fmt: skip
