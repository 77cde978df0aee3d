"""What wrappers hold: partials, methods, decorators of libraries, generic aliases."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import cast

WRAPPER_HOMES = ("functools", "typing")
_WRAPPED_FIELDS = ("__wrapped__", "__func__", "func", "fget", "fset", "fdel")
_OF_TYPES = ("__origin__", "__args__", "__metadata__", "__supertype__", "__bound__", "__constraints__", "__value__")

Held = list[tuple[str, object]]


def file_of(cls: type) -> str:
    """The file of the module that a class is from."""
    module = sys.modules.get(cls.__module__)
    if isinstance(module, ModuleType):
        return getattr(module, "__file__", None) or ""
    # Something else took the module's place, or it is not there any more: methods know their files as well.
    files = [one.__code__.co_filename for one in vars(cls).values() if isinstance(one, FunctionType)]
    return next((file for file in files if not file.startswith("<")), "")


def closure_values(function: FunctionType) -> dict[str, object]:
    """What a function sees of the functions around it, by name; without names that were never given a value."""
    found: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def attached(function: FunctionType) -> Held:
    """What hangs on a function besides its text: the values of its defaults, its attributes, and what it wraps."""
    found: Held = []
    if function.__defaults__ or function.__kwdefaults__:
        given = function.__defaults__ or ()
        positional = function.__code__.co_varnames[: function.__code__.co_argcount]
        defaults = dict(zip(positional[len(positional) - len(given) :], given, strict=True))
        defaults.update(function.__kwdefaults__ or {})
        found += [(f"{name} (default)", value) for name, value in sorted(defaults.items())]
    for name, value in sorted(function.__dict__.items()) if function.__dict__ else ():
        if name == "__wrapped__" or not (name.startswith("__") and name.endswith("__")):
            found.append((name, value))
    return found


def is_wrapper(value: object) -> bool:
    """Whether the object stands for other code: a partial, a property, a generic alias, a decorated function."""
    kind = type(value)
    if kind.__module__ in WRAPPER_HOMES or isinstance(value, (property, staticmethod, classmethod)):
        return True
    if kind.__module__ == "types" and kind.__name__ in ("GenericAlias", "UnionType"):
        return True
    # Looked up where it is kept: an object may answer any attribute.
    own = cast("Mapping[str, object]", getattr(value, "__dict__", {}))
    return hasattr(kind, "__wrapped__") or (isinstance(own, dict) and callable(own.get("__wrapped__")))


def is_bound_builtin(value: object) -> bool:
    """Whether it is a method of an object that is written in C, such as the `match` of a pattern."""
    if not isinstance(value, BuiltinFunctionType):
        return False
    return not isinstance(cast("object", value.__self__), (ModuleType, type, type(None)))


def held(value: object) -> Held:
    """The objects that a wrapper holds, by a stable label."""
    registry: object = getattr(value, "registry", None)
    if registry is not None and callable(getattr(value, "dispatch", None)):
        return _registered(value, cast("dict[type, object]", registry))
    found: Held = []
    for name in _WRAPPED_FIELDS:
        wrapped: object = getattr(value, name, None)
        if callable(wrapped):
            found.append((name, wrapped))
    kind = type(value)
    if isinstance(value, FunctionType):
        found += [(f"cell {name}", inner) for name, inner in sorted(closure_values(value).items())]
        if "<locals>" in value.__code__.co_qualname:
            found += [(label, inner) for label, inner in attached(value) if label != "__wrapped__"]
    elif isinstance(value, (MethodType, BuiltinFunctionType)):
        found.append((f"self of {value.__name__}", cast("object", value.__self__)))
    elif kind.__name__ in ("partial", "partialmethod"):
        found += [("arguments", getattr(value, "args", ())), ("keywords", getattr(value, "keywords", {}))]
    elif kind.__name__ == "_lru_cache_wrapper":
        found.append(("cache", cast("Callable[[], object]", getattr(value, "cache_parameters", dict))()))
    elif kind.__name__ == "singledispatchmethod":
        found.append(("dispatcher", getattr(value, "dispatcher", None)))
    elif kind.__module__ in ("typing", "types"):
        for name in _OF_TYPES:
            inner: object = getattr(value, name, None)
            if inner is not None and inner is not value:
                found.append((name, inner))
        found.append(("name", getattr(value, "__name__", None) or ""))
    return found


def _registered(value: object, registry: dict[type, object]) -> Held:
    named = {f"registry {kind.__module__}.{kind.__qualname__}": function for kind, function in registry.items()}
    return [("__wrapped__", getattr(value, "__wrapped__", None)), *sorted(named.items(), key=lambda one: one[0])]
