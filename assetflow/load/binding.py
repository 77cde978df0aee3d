"""What each parameter of a function means: read from its name, its annotation and what the project declares."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, cast, get_args, get_origin

from msgspec import Struct, field

from assetflow.errors import (
    AmbiguousName,
    BadDeclaration,
    DefinitionError,
    Location,
    UnknownParameter,
    near_names,
)
from assetflow.fingerprint.code import closure_values
from assetflow.fingerprint.files import ProjectFiles
from assetflow.io.forms import form_of
from assetflow.load.given import Unmet
from assetflow.load.live import Binding
from assetflow.model.declare import SourceDefinition, place_of
from assetflow.model.keys import AssetKey, last_name

if TYPE_CHECKING:
    from assetflow.model.inputs import In
    from assetflow.model.settings import Config

_CONTEXT_TEXTS = ("Context", "af.Context", "assetflow.Context")
_PARTITION_TEXTS = ("Partition", "af.Partition", "assetflow.Partition")
_VARIABLE_POSITIONAL, _VARIABLE_KEYWORD = 0x04, 0x08  # flags of code objects: *args, **kwargs
_NOT_PLAIN = (
    (0x200, "an async generator function", "return the value instead of yielding it, without `async`"),
    (0x80, "`async def`", "make it a plain `def`; for code that must be awaited, call asyncio.run(...) inside it"),
    (0x20, "a generator function (it has `yield`)", "return the value; for many rows, a `pa.RecordBatchReader`"),
)  # flags of code objects, what such a function is called, and what to do


class Names:
    """All keys of the project and what a name in a declaration can mean."""

    def __init__(self, keys: Iterable[str], sources: Mapping[str, SourceDefinition]) -> None:
        self.keys = dict.fromkeys(keys)
        self.sources = sources
        self.unmet: dict[int, Unmet] = {}  # what was looked for in vain, by the `id` of the problem
        self.evaluated: dict[tuple[int, str], object] = {}  # of annotations that are text, by the `id` of their globals
        self.plain_forms: dict[type, str] = {}  # of classes that mean nothing but the value of an asset in this form
        self._returned: dict[object, str | None] = {None: None}  # the forms of classes that functions say they return
        self._by_last: dict[str, list[str]] = {}
        for key in self.keys:
            self._by_last.setdefault(last_name(key), []).append(key)

    def form_returned(self, annotation: object) -> str | None:
        """The form that a function says it returns; classes, which most say, are looked at once."""
        if annotation is not None and type(annotation) is not type:
            return form_of(annotation)
        if annotation not in self._returned:
            self._returned[annotation] = form_of(annotation)
        return self._returned[annotation]

    def fitting(self, name: str, own: Iterable[str] = ()) -> list[str]:
        """The keys that `name` fits: the full key, else all with this last name, other assets before `own`."""
        if name in self.keys:
            return [name]
        found = self._by_last.get(name, [])
        others = [key for key in found if key not in own]
        return others or list(found)


class Taker(Struct, frozen=True):
    """The declaration whose parameters are bound: an asset, or a check of the asset `prefers`."""

    label: str
    function: Callable[..., object]
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    own: tuple[str, ...] = ()
    prefers: str | None = None


class Bound(Struct, frozen=True):
    """The bindings of a function, its `Config` class if it takes one, and the form that it says it returns."""

    bindings: tuple[Binding, ...]
    config_class: type[Config] | None
    return_form: str | None


def inner_function(function: Callable[..., object]) -> object:
    """The function below all wrappers that say what they wrap."""
    inner: object = function
    while hasattr(inner, "__wrapped__"):
        inner = getattr(inner, "__wrapped__")  # noqa: B009 - pyright knows no such attribute on object
    return inner


def function_place(function: Callable[..., object], files: ProjectFiles, parameter: str | None = None) -> Location:
    """The place of the `def` line of a function, or of one of its parameters."""
    inner = inner_function(function)
    file, line = place_of(cast("Callable[..., object]", inner))
    found = files.places(inner.__code__) if isinstance(inner, FunctionType) else None
    if found is None:
        return Location(files.relative(file), line)
    full_name, places = found
    is_there = parameter is not None and parameter in places
    found_line, column = places[parameter if is_there and parameter else ""]
    name = parameter if is_there else full_name.rpartition(".")[2]
    length = 1 if name is None or name == "<lambda>" else len(name)
    return Location(files.relative(file), found_line, column, length)


def bind(taker: Taker, names: Names, files: ProjectFiles, problems: list[DefinitionError]) -> Bound:
    """The bindings of a function's parameters; what does not fit goes to `problems`."""
    inner = inner_function(taker.function)
    code = getattr(inner, "__code__", None)
    if not isinstance(code, CodeType):
        where = function_place(taker.function, files)
        problems.append(BadDeclaration(f"{taker.label} is not a plain function", where=where))
        return Bound((), None, None)
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    check_signature(taker, code, parameters, files, problems)
    hints = annotations_of(cast("FunctionType", inner), names.evaluated)
    defaults = with_default(cast("FunctionType", inner), code)
    binder = _Binder(taker, names, files, problems)
    found = [binder.one(name, hints.get(name), optional=name in defaults) for name in parameters]
    form = names.form_returned(hints.get("return"))
    return Bound(tuple([one for one in found if one is not None]), binder.config_class, form)


def check_signature(
    taker: Taker, code: CodeType, parameters: tuple[str, ...], files: ProjectFiles, problems: list[DefinitionError]
) -> None:
    """Add a problem for each way in which the function cannot be called with its inputs by name."""
    _refuse_unless_plain(taker, files, problems)
    star = len(parameters)
    if code.co_flags & _VARIABLE_POSITIONAL:
        _refuse_stars(taker, f"*{code.co_varnames[star]}", files, problems)
        star += 1
    if code.co_flags & _VARIABLE_KEYWORD:
        _refuse_stars(taker, f"**{code.co_varnames[star]}", files, problems)
    for name in parameters[: code.co_posonlyargcount]:
        problems.append(
            BadDeclaration(
                f"{taker.label} takes `{name}` by position only, and inputs are passed by name",
                fix="take the `/` out of the parameter list",
                where=function_place(taker.function, files, name),
            )
        )
    for name in taker.inputs:
        if name not in parameters:
            near = near_names(name, parameters, 1)
            problems.append(
                BadDeclaration(
                    f"{taker.label} says inputs= for `{name}`, which is not one of its parameters",
                    facts=[f"did you mean `{near[0]}`?"]
                    if near
                    else [f"parameters: {', '.join(parameters) or 'none'}"],
                    fix="the left side of inputs= is a parameter, the right side an asset",
                    where=function_place(taker.function, files),
                )
            )


def _refuse_unless_plain(taker: Taker, files: ProjectFiles, problems: list[DefinitionError]) -> None:
    """Add a problem when a call gives no value. The outermost function counts: a wrapper may await what it wraps."""
    flags = getattr(getattr(taker.function, "__code__", None), "co_flags", 0)
    for flag, kind, fix in _NOT_PLAIN:
        if flags & flag:
            what = f"{taker.label} is {kind}; assets, checks and hooks are plain functions that return their value"
            problems.append(BadDeclaration(what, fix=fix, where=function_place(taker.function, files)))
            return


def _refuse_stars(taker: Taker, written: str, files: ProjectFiles, problems: list[DefinitionError]) -> None:
    problems.append(
        BadDeclaration(
            f"{taker.label} takes `{written}`, and every parameter needs a name: parameter names are the lineage",
            fix="name each input; a decorator of your own keeps the parameters visible with `functools.wraps`",
            where=function_place(taker.function, files, written.lstrip("*")),
        )
    )


class _Binder:
    """Binds the parameters of one function."""

    def __init__(self, taker: Taker, names: Names, files: ProjectFiles, problems: list[DefinitionError]) -> None:
        self._taker, self._names, self._files, self._problems = taker, names, files, problems
        self.config_class: type[Config] | None = None

    def one(self, name: str, annotation: object, *, optional: bool) -> Binding | None:
        """The binding of a parameter, or None when its default is used or a problem was found."""
        cls = annotation if type(annotation) is type else None
        form = None if cls is None else self._names.plain_forms.get(cls)
        more = None
        if form is None:
            special = self._special(name, annotation)
            if special is not None:
                return special
            more, form = _in_of(annotation), form_of(annotation) or "python"
            if cls is not None and more is None:
                self._names.plain_forms[cls] = form
        wanted = self._taker.inputs.get(name) or (more.key if more else None)
        key = self._upstream(name, wanted, annotation, optional=optional)
        if key is None:
            return None
        source = self._names.sources.get(key)
        if source is not None and source.path is None and source.load is None:
            self._say(
                BadDeclaration,
                name,
                f"{self._taker.label} takes the source `{key}`, which has a version but no load=",
                fix=f'give the source load=, or depend on it without its data: deps=["{key}"]',
            )
            return None
        if more is None:
            return Binding(name, "asset", key, form, optional=optional)
        return Binding(
            name, "asset", key, form, more.columns, optional=optional, accept=more.accept or "", window=more.window,
            partitions=more.partitions, need=more.need,
        )  # fmt: skip

    def _special(self, name: str, annotation: object) -> Binding | None:
        """The binding of a parameter that its annotation alone decides."""
        plain = without_none(annotation)
        text = getattr(plain, "__forward_arg__", None)
        # When nothing imported the module of a class, nobody has it; the same goes for the settings below.
        context = sys.modules.get("assetflow.model.context")
        if text in _CONTEXT_TEXTS or (context is not None and plain is context.Context):
            return Binding(name, "context")
        if text in _PARTITION_TEXTS or (context is not None and plain is context.Partition):
            return Binding(name, "partition")
        if form_of(annotation) == "connection":
            return Binding(name, "connection", form="connection")
        settings = sys.modules.get("assetflow.model.settings")
        if settings is None or not isinstance(plain, type):
            return None
        if issubclass(plain, settings.Resource):
            return Binding(name, "resource", resource_class=plain)
        if not issubclass(plain, settings.Config):
            return None
        if self._taker.prefers is not None or self.config_class is not None:
            why = "a check takes no Config" if self._taker.prefers is not None else "an asset takes one Config"
            self._say(BadDeclaration, name, f"{self._taker.label} takes `{name}: {plain.__name__}`, but {why}")
        self.config_class = cast("type[Config]", plain)
        return Binding(name, "config")

    def _upstream(self, name: str, wanted: str | None, annotation: object, *, optional: bool) -> AssetKey | None:
        target = self._taker.prefers
        if wanted is None and target is not None and name in (target, last_name(target)):
            return AssetKey(target)
        found = self._names.fitting(wanted or name, self._taker.own)
        if len(found) == 1:
            return AssetKey(found[0])
        if found:
            choices = ", ".join(f"`{key}`" for key in found)
            self._say(
                AmbiguousName,
                name,
                f"{self._taker.label} takes `{wanted or name}`, which fits {len(found)} assets: {choices}",
                fix=f'say which: {name}: Annotated[..., In("{found[0]}")]',
            )
        elif wanted is not None or not optional:
            self._unknown(name, wanted, annotation)
        return None

    def _unknown(self, name: str, wanted: str | None, annotation: object) -> None:
        near = near_names(wanted or name, (key for key in self._names.keys if key not in self._taker.own), 1)
        facts = [f"did you mean `{near[0]}`?"] if near else []
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", None)
        if text is not None and form_of(annotation) is None:
            facts.append(f"its annotation `{text}` means nothing at run time; import it outside `if TYPE_CHECKING:`")
        if wanted is not None:
            fix = f"correct the key: `{near[0]}`" if near else "declare that asset, or correct the key"
        elif near:
            short = last_name(near[0])
            fix = f'rename the parameter to `{short}`, or map it: @asset(inputs={{"{name}": "{near[0]}"}})'
        else:
            fix = f"declare an asset or source `{name}`, or annotate it with a Config or Resource class"
        what = f"{self._taker.label} needs `{wanted or name}`, which is not an asset, source or resource"
        problem = self._say(UnknownParameter, name, what, facts=facts, fix=fix)
        self._names.unmet[id(problem)] = Unmet(problem, wanted or name)

    def _say(
        self, cls: type[DefinitionError], name: str, what: str, *, facts: Iterable[str] = (), fix: str | None = None
    ) -> DefinitionError:
        where = function_place(self._taker.function, self._files, name)
        problem = cls(what, facts=tuple(facts), fix=fix, where=where)
        self._problems.append(problem)
        return problem


def annotations_of(
    function: FunctionType, evaluated: dict[tuple[int, str], object] | None = None
) -> dict[str, object]:  # fmt: skip
    """The annotations, evaluated where that is possible; the others as text.

    `evaluated` holds what texts meant in the globals of other functions; what is found is added.
    """
    try:
        raw = dict(function.__annotations__)
    except NameError:  # Python 3.14 evaluates them only now, and a name may be there for type checkers alone
        import importlib

        library = importlib.import_module("annotationlib")
        raw = cast("dict[str, object]", library.getannotations_of(function, format=library.Format.STRING))
    if not any(isinstance(value, str) for value in raw.values()):
        return raw
    known = {} if evaluated is None else evaluated
    inside = closure_values(function)
    names = function.__globals__
    for parameter, value in raw.items():
        if isinstance(value, str):
            place = (id(names), value)
            if inside:
                raw[parameter] = _evaluated(value, names, inside)
                continue
            if place not in known:
                known[place] = _evaluated(value, names, inside)
            raw[parameter] = known[place]
    return raw


def _evaluated(annotation: str, names: dict[str, object], inside: Mapping[str, object]) -> object:
    try:
        # The text of the user's own annotation, in the way of `typing.get_type_hints`.
        return eval(annotation, names, _Lenient(inside, names))  # noqa: S307
    except Exception:  # noqa: BLE001 - whatever the user's text raises, the text itself still says the form
        return annotation


class _Lenient(dict[str, object]):
    """Names for an annotation; those that only type checkers see (`if TYPE_CHECKING:`) stand for their own text."""

    def __init__(self, inside: Mapping[str, object], names: Mapping[str, object]) -> None:
        super().__init__()
        self._spaces = (inside, names, vars(builtins))

    def __missing__(self, name: str) -> object:
        return next((space[name] for space in self._spaces if name in space), _Unseen(name))


class _Unseen:
    """A type that is not there at run time, such as `pd.DataFrame`; `form_of` reads `__forward_arg__`."""

    def __init__(self, text: str) -> None:
        self.__forward_arg__ = text

    def __getattr__(self, name: str) -> _Unseen:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unseen(f"{self.__forward_arg__}.{name}")

    def __getitem__(self, _: object) -> _Unseen:
        return self

    def __or__(self, _: object) -> _Unseen:
        return self

    __ror__ = __or__

    def __call__(self) -> None:
        """Nothing: `typing` wants members of a union to be callable."""


def with_default(function: FunctionType, code: CodeType) -> set[str]:
    """The parameters that have a default."""
    if not (function.__defaults__ or function.__kwdefaults__):
        return set()
    positional = code.co_varnames[: code.co_argcount]
    count = len(function.__defaults__ or ())
    return {*positional[len(positional) - count :], *(function.__kwdefaults__ or {})}


def _in_of(annotation: object) -> In | None:
    """The `In(...)` in `Annotated[X, In(...)]`."""
    said: tuple[object, ...] = getattr(annotation, "__metadata__", ())
    if not said:
        return None
    from assetflow.model.inputs import In

    return next((one for one in said if isinstance(one, In)), None)


def without_none(annotation: object) -> object:
    """`X` for `Annotated[X, ...]` and for `X | None`."""
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is not None or type(annotation).__name__ == "UnionType":
        members = [one for one in get_args(annotation) if one is not type(None)]
        if len(members) == 1 and type(None) in get_args(annotation):
            return members[0]
    return annotation
