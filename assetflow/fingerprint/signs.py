"""What a piece of code does that a fingerprint has to be careful about, seen from its text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from assetflow.fingerprint.trees import walk

SEES_MODULE = "sees_module"
"""It may read any name of its module: `globals()`."""
SEES_PROJECT = "sees_project"
"""It may read any module: `import_module(name)` with a computed name."""
RUNS_TEXT = "runs_text"
"""It runs code that is made when it runs: `eval`, `exec`."""
READS_DOCS = "reads_docs"
READS_ANNOTATIONS = "reads_annotations"
READS_TEXT = "reads_text"
"""It reads the source itself, comments and all: `inspect.getsource`."""
READS_SUBCLASSES = "reads_subclasses"
READS_NAMES = "reads_names"
"""It reads where something was defined: `function.__module__`."""

_BY_NAME = {
    SEES_MODULE: ["globals", "f_globals", "__globals__"],
    SEES_PROJECT: [
        "spec_from_file_location", "run_path", "run_module", "iter_modules", "walk_packages", "load_module",
        "exec_module", "entry_points", "find_spec", "modules",
    ],
    RUNS_TEXT: ["eval", "exec", "compile"],
    READS_DOCS: ["__doc__", "getdoc", "model_json_schema", "json_schema"],
    READS_ANNOTATIONS: [
        "__annotations__", "__annotate__", "get_type_hints", "get_annotations", "signature", "getfullargspec",
        "__signature__", "validate_call", "TypeAdapter", "typechecked",
    ],
    READS_TEXT: ["getsource", "getsourcelines", "getcomments", "findsource", "__code__", "_getframe", "currentframe"],
    READS_SUBCLASSES: ["__subclasses__"],
    READS_NAMES: ["__module__"],
}  # fmt: skip
_SIGNS: dict[str, str] = {name: sign for sign, names in _BY_NAME.items() for name in names}
_ONLY_AFTER = {"modules": "sys", "compile": ""}
"""Names that are common for other things: they count only as an attribute of this name, or as no attribute at all."""

_VOLATILE = frozenset([
    "now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter", "random", "randint", "choice", "shuffle",
    "uniform", "uuid1", "uuid4", "urandom", "token_hex", "token_bytes", "token_urlsafe", "getpid", "gmtime",
    "localtime", "default_rng",
])  # fmt: skip
_ENVIRONMENT = frozenset(["environ", "getenv", "environb", "getenvb", "getpass"])


def signs_of(nodes: Sequence[ast.AST], chains: Iterable[str]) -> set[str]:
    """The signs in a function or class. `chains` are those that it reads from outside."""
    found: set[str] = set()
    for chain in chains:
        *before, last = chain.split(".")
        for place, name in enumerate((*before, last)):
            sign = _SIGNS.get(name)
            if sign is not None and _counts(name, before[place - 1] if place else ""):
                found.add(sign)
    for item in nodes:
        if isinstance(item, ast.Attribute):
            sign = _SIGNS.get(item.attr)
            if sign is not None and item.attr not in _ONLY_AFTER:
                found.add(sign)
        elif isinstance(item, ast.Constant) and isinstance(item.value, str):
            sign = _SIGNS.get(item.value) if item.value.startswith("__") else None
            if sign is not None:
                found.add(sign)  # getattr(f, "__doc__")
    if _imports_computed(nodes):
        found.add(SEES_PROJECT)
    return found


def hidden_sign(written: str, reference: str) -> str:
    """The sign of something outside the project that has another name in the text: `import_module as load`."""
    home, _, name = reference.partition(" ")[2].rpartition(".")
    if name == written.rpartition(".")[2] or home.partition(".")[0] not in (
        "builtins",
        "importlib",
        "inspect",
        "typing",
    ):
        return ""
    return SEES_PROJECT if name in _IMPORTERS else _SIGNS.get(name, "")


def statement_signs(node: ast.AST) -> str:
    """`volatile` when a statement makes a value anew each time, `environment` when it reads the environment."""
    found = ""
    for item in walk(node):
        name = item.attr if isinstance(item, ast.Attribute) else item.id if isinstance(item, ast.Name) else ""
        if name in _ENVIRONMENT:
            return "environment"
        if name in _VOLATILE and isinstance(getattr(item, "ctx", None), ast.Load):
            found = "volatile"
    return found


def constant_imports(nodes: Iterable[ast.AST]) -> list[str]:
    """The modules that `import_module("name")` names outright."""
    return [name for call in _import_calls(nodes) if (name := _imported_by(call)) is not None]


def _counts(name: str, before: str) -> bool:
    return name not in _ONLY_AFTER or before == _ONLY_AFTER[name]


def _import_calls(nodes: Iterable[ast.AST]) -> list[ast.Call]:
    return [item for item in nodes if isinstance(item, ast.Call) and _name_of(item.func) in _IMPORTERS]


_IMPORTERS = ("import_module", "__import__")


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _imported_by(call: ast.Call) -> str | None:
    given = call.args[0] if len(call.args) == 1 and not call.keywords else None
    name = given.value if isinstance(given, ast.Constant) else None
    return name if isinstance(name, str) and not name.startswith(".") else None


def _imports_computed(nodes: Sequence[ast.AST]) -> bool:
    calls = _import_calls(nodes)
    if any(_imported_by(call) is None for call in calls):
        return True
    called = len(calls)
    named = sum(1 for item in nodes if isinstance(item, (ast.Name, ast.Attribute)) and _is_importer(item))
    return named > called  # `load = import_module` may be called with anything


def _is_importer(node: ast.Name | ast.Attribute) -> bool:
    return _name_of(node) in _IMPORTERS
