"""What a function returned, taken apart: one value for each output, and metadata that can be recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from assetflow.errors import WrongReturn
from assetflow.io.forms import value_words
from assetflow.io.storage import Storage
from assetflow.load.live import LiveNode, LiveOutput
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


def json_metadata(metadata: Mapping[str, object], key: AssetKey) -> dict[str, object]:
    """The metadata as it is recorded; a number of numpy is one.

    Raises:
        WrongReturn: a value is not JSON-able.
    """
    found: dict[str, object] = {}
    for name, value in metadata.items():
        is_numpy = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
        found[name] = cast("Any", value).item() if is_numpy else value
        try:
            json.dumps(found[name])
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongReturn(
                f"the metadata `{name}` of `{key}` is {value_words(value)}, which is not a JSON value",
                fix="give a number, a text, or lists and dicts of these",
            ) from error
    return found
