"""What a function returned, taken apart: one value for each output, and metadata that can be recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from assetflow.errors import WrongReturn
from assetflow.io.forms import form_of, value_words
from assetflow.io.storage import Storage
from assetflow.load.live import LiveNode, LiveOutput
from assetflow.model.declare import Result
from assetflow.model.keys import AssetKey, last_name, split_slot

_ABSENT = object()


def split_outputs(node: LiveNode, value: object, storage: Storage | None = None) -> list[tuple[LiveOutput, object]]:
    """What a function returned, taken apart by output.

    Raises:
        WrongReturn: it is not one value for each output.
    """
    if node.batch is not None and storage is not None:
        from assetflow.run.splitting import split_rows

        return split_rows(node, node.batch, value)
    if not node.several:
        return [(node.outputs[0], value)]
    keys = [output.key for output in node.outputs]
    if isinstance(value, Mapping):
        found = {str(name): one for name, one in cast("Mapping[object, object]", value).items()}
        names = {output.key: split_slot(output.key)[0] for output in node.outputs}
        by_name = {key: found.pop(name, found.pop(last_name(name), _ABSENT)) for key, name in names.items()}
        missing = [key for key, one in by_name.items() if one is _ABSENT]
        if missing or found:
            raise WrongReturn(
                f"the function of {', '.join(keys)} returned "
                + (f"nothing for {', '.join(missing)}" if missing else f"more than it declares: {', '.join(found)}"),
                fix="return a mapping with one entry for each output that @assets names",
            )
        return [(output, by_name[output.key]) for output in node.outputs]
    values = cast("Sequence[object]", value) if isinstance(value, (tuple, list)) else ()
    if len(values) == len(node.outputs):
        return list(zip(node.outputs, values, strict=True))
    raise WrongReturn(
        f"the function of {', '.join(keys)} returned {value_words(cast('object', value))}; it makes {len(keys)} assets",
        fix=f"return a tuple of {len(keys)} values in this order, or a mapping by name",
    )


def is_lazy(value: object) -> bool:
    """Whether what a function returned is computed only while it is stored: a generator, a reader, a lazy frame."""
    if isinstance(value, Result):
        return is_lazy(value.value)
    if isinstance(value, (tuple, Mapping)):
        several = cast("tuple[object, ...] | Mapping[object, object]", value)
        return any(map(is_lazy, several.values() if isinstance(several, Mapping) else several))
    return isinstance(value, Iterator) or form_of(type(value)) == "polars_lazy"


def given_metadata(result: Result, key: AssetKey) -> Mapping[str, object]:
    """The metadata of a result.

    Raises:
        WrongReturn: it is no mapping.
    """
    metadata = cast("object", result.metadata)
    if not isinstance(metadata, Mapping):
        raise WrongReturn(
            f"`{key}` returned a Result whose metadata is {value_words(metadata)}",
            fix="give each value a name: {'rows': 3}",
        )
    return cast("Mapping[str, object]", metadata)


def json_metadata(metadata: Mapping[str, object], key: AssetKey) -> dict[str, object]:
    """The metadata as it is recorded; numbers of numpy are numbers, also within lists and dicts.

    Raises:
        WrongReturn: a value is not JSON-able, or a name is not a text.
    """
    found: dict[str, object] = {}
    for given, value in metadata.items():
        name = cast("str", _without_numpy(given))
        if not isinstance(cast("object", name), (str, int, float)):  # JSON makes a text of a number
            raise WrongReturn(
                f"a name in the metadata of `{key}` is {value_words(name)}, and not a text: {name!r:.60}",
                fix="give each value a name: {'rows': 3}",
            )
        try:
            found[name] = _without_numpy(value)
            json.dumps(found[name])
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongReturn(
                f"the metadata `{name}` of `{key}` is {value_words(value)}, which is not a JSON value",
                fix="give a number, a text, or lists and dicts of these",
            ) from error
    return found


def _without_numpy(value: object) -> object:
    """The value with numbers of Python in place of those of numpy, which is not imported for that."""
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {_without_numpy(name): _without_numpy(one) for name, one in items}
    if isinstance(value, (list, tuple)):
        return [_without_numpy(one) for one in cast("Sequence[object]", value)]
    is_numpy = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return cast("Any", value).item() if is_numpy else value
