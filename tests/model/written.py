"""The project of the model as real definitions: texts of functions, compiled, resolved and fingerprinted by assetflow.

What assetflow makes of a function is kept by its declaration, because random histories come back to the same ones: it
is what makes a step cheap. `test_written.py` compares it with what loading the same texts from files gives.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

from msgspec.structs import replace

from assetflow import Config, In, asset, assets, check, source
from assetflow.errors import SourceMissing
from assetflow.fingerprint.code import Fingerprinter
from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.definitions import load_definitions
from assetflow.load.live import LiveNode, Loaded
from assetflow.model.declare import Skip, SourceDefinition
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec
from tests.model.story import Function, Recipe, content

HELPERS = ("h0", "h1")
TTL_S = 3600
IN_MEMORY = "/model-of-a-project"  # where the texts say that they are from; nothing is there


@dataclass
class Weather:
    """What befalls functions that run: names of those that fail, skip, are interrupted or rejected; tokens now.

    Below `root` are the files that functions open.
    """

    fails: set[str] = field(default_factory=set[str])
    skips: set[str] = field(default_factory=set[str])
    interrupts: set[str] = field(default_factory=set[str])
    rejects: set[str] = field(default_factory=set[str])
    tokens: dict[str, str | None] = field(default_factory=dict[str, str | None])
    ran: list[str] = field(default_factory=list[str])
    root: Path = Path()


WEATHER = Weather()


class Knobs(Config):
    """The config of every function that takes one."""

    rate: int = 0
    limit: int = 0


def made(function: Function, helper: str, config: Knobs | None, reads: Mapping[str, object]) -> object:
    """What a function of the project returns, or raises."""
    name = function.outputs[0]
    WEATHER.ran.append(name)
    if name in WEATHER.fails:
        raise ValueError(f"{name} was to fail")
    if name in WEATHER.skips:
        raise Skip(f"{name} was to skip")
    if name in WEATHER.interrupts:
        signal.raise_signal(signal.SIGINT)
    values = () if config is None else (("limit", str(config.limit)), ("rate", str(config.rate)))
    opened = ((function.opens, (WEATHER.root / f"{function.opens}.txt").read_text()),) if function.opens else ()
    read = frozenset((parameter, "", "", (), json.dumps(value)) for parameter, value in reads.items())
    recipe = Recipe("", helper, frozenset(values), read, opened)
    found = {output: json.loads(content(output, function, recipe)) for output in function.outputs}
    return found if len(found) > 1 else found[name]


def is_accepted(output: str) -> bool:
    """What the checks of the project answer."""
    return output not in WEATHER.rejects


def token_of(key: str) -> Callable[[], object]:
    """The version function of a source."""

    def token() -> object:
        value = WEATHER.tokens[key]
        if value is None:
            raise SourceMissing(f"{key} is not there")
        return json.loads(value)

    return token


def text_of(function: Function) -> str:
    """The text of a function with its check, as a user would write it."""
    outputs, taken = function.outputs, [one for one in function.inputs if one.parameter]
    decorator = f"asset(key={outputs[0]!r}, " if len(outputs) == 1 else f"assets({', '.join(map(repr, outputs))}, "
    deps = [
        one.upstream for one in function.inputs if one.mode == "version" or (one.mode == "order" and not one.output)
    ]
    mapped = {one.parameter: one.upstream for one in taken}
    parameters = [
        f"{one.parameter}: Annotated[list, In(columns={list(one.columns)!r})]" if one.columns else one.parameter
        for one in taken
    ]
    parameters += ["config: Knobs"] if function.config is not None else []
    reads = ", ".join(f"{one.parameter!r}: {one.parameter}" for one in taken)
    note = f"    # edited {function.comment} times\n" * bool(function.comment)
    core = f"Function({outputs!r}, body={function.body}, coarse={function.coarse}, opens={function.opens!r})"
    helper = f"{function.helper}()" if function.helper else "''"
    config = "config" if function.config is not None else "None"
    lines = "\n" * (function.comment % 3)
    text = (
        f"{lines}@{decorator}io='json', inputs={mapped!r}, deps={deps!r})\n"
        f"def {outputs[0]}({', '.join(parameters)}):\n{note}"
        f"    return made({core}, {helper}, {config}, {{{reads}}})\n"
    )
    return text + "".join(_check_text(function, output) for output in outputs if output == function.checked)


def _check_text(function: Function, output: str) -> str:
    others = [one.upstream for one in function.inputs if one.output == output]
    parameters = ", ".join([output, *others])
    return f"\n@check({output!r})\ndef check_{output}({parameters}):\n    return is_accepted({output!r})\n"


def helpers_text(bodies: Mapping[str, int]) -> str:
    """The text of the helpers; h1 calls h0."""
    return f"def h0():\n    return '{bodies['h0']}'\n\ndef h1():\n    return h0() + '.{bodies['h1']}'\n"


def helper_values(bodies: Mapping[str, int]) -> dict[str, str]:
    """What the helpers return."""
    return {"h0": str(bodies["h0"]), "h1": f"{bodies['h0']}.{bodies['h1']}"}


NAMES: Mapping[str, object] = {
    "Annotated": Annotated, "In": In, "asset": asset, "assets": assets, "check": check, "made": made,
    "is_accepted": is_accepted, "Function": Function, "Knobs": Knobs,
}  # fmt: skip


@dataclass(frozen=True)
class _Compiled:
    specs: tuple[AssetSpec, ...]
    nodes: Mapping[str, LiveNode]


_COMPILED: dict[tuple[Function, str], _Compiled] = {}


def _compiled(function: Function, bodies: Mapping[str, int]) -> _Compiled:
    helpers = helpers_text({name: bodies[name] for name in HELPERS} if function.helper == "h1" else {**bodies, "h1": 0})
    helpers = helpers if function.helper else ""
    found = _COMPILED.get((function, helpers))
    if found is None:
        found = _COMPILED[function, helpers] = _compile(function, helpers)
    return found


def _compile(function: Function, helpers: str) -> _Compiled:
    texts = {f"{IN_MEMORY}/helpers.py": helpers, f"{IN_MEMORY}/assets.py": text_of(function)}
    names: dict[str, object] = {}
    for path, text in texts.items():
        home = dict(names)
        names = {**NAMES, **home, "__name__": Path(path).stem}
        exec(compile(text, path, "exec"), names)
        if path.endswith("helpers.py"):
            names = {name: names[name] for name in HELPERS if name in names}
    definitions = [one for one in names.values() if hasattr(one, "__assetflow__")]
    outside = {one.upstream for one in function.inputs} - SOURCES.keys()
    overrides = {} if function.config is None else {function.outputs[0]: {n: int(v) for n, v in function.config}}
    loaded = load_definitions([*definitions, *SOURCES.values()], sorted(outside), overrides)
    files = ProjectFiles([IN_MEMORY], {path: text.encode() for path, text in texts.items()})
    code = Fingerprinter(files).of(loaded.nodes[function.outputs[0]].function)
    specs = [
        replace(
            spec, code=code.digest, code_parts=code.parts, inputs=(*spec.inputs, *_read_by_checks(function, spec.key))
        )
        for spec in loaded.specs
        if spec.key in function.outputs
    ]
    return _Compiled(tuple(specs), loaded.nodes)


def _read_by_checks(function: Function, output: str) -> list[InputSpec]:
    # Without the other functions at hand, resolving cannot know that these are assets and not values from outside.
    return [InputSpec("", AssetKey(one.upstream), "order") for one in function.inputs if one.output == output]


def sources_in(root: str | os.PathLike[str]) -> dict[str, SourceDefinition]:
    """The sources: a file, a function with data, and a function whose answer holds for an hour."""
    return {
        "s0": source("s0", path=f"{os.fspath(root)}/s0.json"),
        "s1": source("s1", version=token_of("s1"), load=token_of("s1")),
        "s2": source("s2", version=token_of("s2"), ttl=TTL_S),
    }


SOURCES = sources_in(IN_MEMORY)


def loaded_project(functions: list[Function], bodies: Mapping[str, int], root: Path, *, backwards: bool) -> Loaded:
    """The project as a run needs it, declared in this order or the other way around."""
    sources = _sources(root)
    compiled = [_compiled(one, bodies) for one in functions]
    specs = [*sources.specs, *(spec for one in compiled for spec in one.specs)]
    nodes = {name: node for one in compiled for name, node in one.nodes.items()}
    return Loaded(tuple(reversed(specs) if backwards else specs), nodes, sources.sources)


_BY_ROOT: dict[Path, Loaded] = {}


def _sources(root: Path) -> Loaded:
    if root not in _BY_ROOT:
        _BY_ROOT.clear()
        _BY_ROOT[root] = load_definitions(cast("list[object]", [*sources_in(root).values()]))
    return _BY_ROOT[root]
