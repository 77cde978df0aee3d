"""The form of a value: which dataframe library an annotation asks for, and words for what a function returned.

Decided by the names of classes and of their top modules, so that nothing heavy is imported to read an annotation.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Union, cast, get_args, get_origin

TABLE_FORMS = frozenset(["pandas", "arrow", "reader", "polars", "polars_lazy", "duckdb", "records"])
"""The forms that need a table; `path`, `bytes`, `python` and `connection` do not."""

_CLASSES = {
    ("pandas", "DataFrame"): "pandas",
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatchReader"): "reader",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "polars_lazy",
    ("duckdb", "DuckDBPyRelation"): "duckdb",
    ("duckdb", "DuckDBPyConnection"): "connection",
    ("pathlib", "Path"): "path",
    ("pathlib", "PosixPath"): "path",
    ("pathlib", "WindowsPath"): "path",
    ("pathlib", "PurePath"): "path",
    ("os", "PathLike"): "path",
    ("builtins", "bytes"): "bytes",
}
_ALIASES = {"pd": "pandas", "pa": "pyarrow", "pl": "polars", "_duckdb": "duckdb"}
_WORDS = {
    "pandas": "a pandas DataFrame",
    "arrow": "a pyarrow Table",
    "reader": "a pyarrow RecordBatchReader",
    "polars": "a polars DataFrame",
    "polars_lazy": "a polars LazyFrame",
    "duckdb": "a DuckDB relation",
    "connection": "a DuckDB connection",
    "records": "a list of dicts",
    "path": "a Path",
    "bytes": "bytes",
    "python": "a Python value",
}
_BADGES = {
    "reader": "arrow",
    "polars_lazy": "polars",
    "connection": "duckdb",
    "records": "python",
    "path": "file",
    "bytes": "file",
}
_SEQUENCES = frozenset(["list", "List", "Sequence", "Iterable", "Iterator", "Collection", "tuple"])
_PLAIN = frozenset(["int", "float", "str", "bool", "complex", "list", "dict", "tuple", "set", "frozenset", "bytearray"])
_DOTTED = re.compile(r"[A-Za-z_][\w.]*\Z")


def form_of(annotation: object) -> str | None:
    """The form that a parameter or return annotation asks for, or None when it asks for none that is known.

    `Annotated`, `Optional` and unions are looked through (the first member with a form counts). A string that could
    not be resolved is judged by its text: `"pd.DataFrame | None"` is pandas.

    Example:
        >>> form_of(list[dict[str, object]]), form_of("pl.LazyFrame"), form_of(None)
        ('records', 'polars_lazy', None)
    """
    if isinstance(annotation, str):
        return _form_of_text(annotation)
    if type(annotation) is type:  # what most annotations are; asking what it was made of takes longer
        return _form_of_class(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return form_of(get_args(annotation)[0])
    if origin is Union or type(annotation).__name__ == "UnionType":
        return next(filter(None, map(form_of, get_args(annotation))), None)
    if origin is not None:
        return _form_of_generic(origin, get_args(annotation))
    forward = getattr(annotation, "__forward_arg__", None)
    if isinstance(forward, str):
        return _form_of_text(forward)
    return _form_of_class(annotation) if isinstance(annotation, type) else None


def form_words(form: str | None) -> str:
    """The form as messages say it: `a pandas DataFrame`.

    Example:
        >>> form_words("reader")
        'a pyarrow RecordBatchReader'
    """
    return _WORDS.get(form or "python", "a Python value")


def kind_badge(form: str | None) -> str | None:
    """The badge of an asset in screens: the library or `file` or `python`; None when the form is not known.

    Example:
        >>> kind_badge("polars_lazy")
        'polars'
    """
    return None if form is None else _BADGES.get(form, form)


def value_words(value: object) -> str:
    """What a value is, as messages say it: `None`, `a str`, `an empty list`, `a list of int`, `a pandas Series`.

    Example:
        >>> value_words([1, 2]), value_words(None), value_words(3)
        ('a list of int', 'None', 'an int')
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    if isinstance(value, list):
        items = cast("list[object]", value)
        return f"a list of {type(items[0]).__name__}" if items else "an empty list"
    cls = type(value)
    form = _form_of_class(cls)
    if form is not None and form != "python":
        return form_words(form)
    if cls.__name__ == "coroutine":
        return "a coroutine (the function is `async`)"
    if cls.__name__ in ("function", "builtin_function_or_method", "method"):
        return f"the function {getattr(value, '__name__', '?')} itself"
    return _with_article(" ".join(filter(None, [_library(cls), cls.__name__])))


def _form_of_generic(origin: object, arguments: tuple[Any, ...]) -> str | None:
    """The form of `list[dict]`, `Sequence[Mapping[str, int]]`, `dict[str, int]` and their like."""
    name = getattr(origin, "__name__", "")
    if name in _SEQUENCES and arguments and _is_row(arguments[0]):
        return "records"
    if name == "PathLike":
        return "path"
    return _form_of_class(origin) if isinstance(origin, type) else None


def _is_row(item: object) -> bool:
    """Whether an item's type is a dict, a mapping or a `TypedDict`, so that a list of them is a table."""
    found = get_origin(item) or item
    if isinstance(found, str):
        return found.partition("[")[0].rpartition(".")[2] in ("dict", "Dict", "Mapping")
    return hasattr(found, "__total__") or getattr(found, "__name__", "") in (
        "dict",
        "Dict",
        "Mapping",
        "MutableMapping",
    )


def _form_of_class(cls: type) -> str | None:
    """The form of a class: by itself or by a class it inherits from, so that a typed frame counts as its library's."""
    for base in cls.__mro__:
        top = base.__module__.partition(".")[0]
        form = _CLASSES.get((_ALIASES.get(top, top), base.__name__))
        if form is not None:
            return form
    return "python" if cls.__module__ == "builtins" and cls.__name__ in _PLAIN else None


def _form_of_text(text: str) -> str | None:
    """The form of an annotation that is only known as text."""
    text = text.strip()
    head, bracket, inside = text.partition("[")
    name = head.rpartition(".")[2]
    if bracket and name in ("Annotated", "Optional", "Union") and inside.endswith("]"):
        return next(filter(None, map(_form_of_text, _split(inside[:-1], ","))), None)
    members = _split(text, "|")
    if len(members) > 1:
        return next(filter(None, map(_form_of_text, members)), None)
    if bracket and name in _SEQUENCES and _is_row(inside.strip()):
        return "records"
    if not _DOTTED.match(head):
        return None
    top = head.partition(".")[0] if "." in head else ""
    if not top:
        # Without its module a name says less: `DataFrame` could be polars, but nearly always is pandas.
        bare = {cls: form for (_, cls), form in reversed(_CLASSES.items())}
        return bare.get(name) or ("python" if name in _PLAIN else None)
    return _CLASSES.get((_ALIASES.get(top, top), name))


def _split(text: str, separator: str) -> list[str]:
    """The parts of `text` between separators that are not within brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _library(cls: type) -> str:
    """The top module of a class when it says something: not for builtins, the standard library and scripts."""
    import sys

    top = cls.__module__.partition(".")[0]
    if top == "__main__" or top in sys.stdlib_module_names:
        return ""
    return _ALIASES.get(top, top)


def _with_article(words: str) -> str:
    return f"{'an' if words[:1].lower() in ('a', 'e', 'i', 'o') else 'a'} {words}"
