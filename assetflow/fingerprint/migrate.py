"""Whether old and new code mean the same, when their digests were made by different schemes and cannot be compared.

The stored texts are taken through the scheme of now. Whatever cannot be shown to be equal counts as different.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from textwrap import dedent

from assetflow.fingerprint.encode import encode_tree, local_annotations
from assetflow.fingerprint.hashing import digest
from assetflow.model.code import CodeSource

_UNKNOWN = ("(hidden)", "<")


def same_meaning(
    old_parts: Mapping[str, str],
    old_sources: Mapping[str, CodeSource],
    new_parts: Mapping[str, str],
    new_sources: Mapping[str, CodeSource],
) -> bool:
    """Whether the same parts have the same meaning under the scheme of now, and refer to the same things.

    Args:
        old_parts: the local digests by name, as an older scheme made them.
        old_sources: the stored texts by these digests.
        new_parts: the same of the code of now.
        new_sources: the same of the code of now.
    """
    if not old_parts or old_parts.keys() != new_parts.keys():
        return False
    for name, local in old_parts.items():
        old, new = old_sources.get(local), new_sources.get(new_parts[name])
        if old is None or new is None or not _same(old, new):
            return False
    return True


def _same(old: CodeSource, new: CodeSource) -> bool:
    if old.kind != new.kind or old.refers != new.refers:
        return False
    if old.kind in ("function", "class", "module"):
        return old.text == new.text or _encoded(old) == _encoded(new) != ""
    # What was not looked into has a text that says so, and that two different things may share.
    return old.kind == "value" and old.text == new.text and not old.text.startswith(_UNKNOWN)


def _encoded(source: CodeSource) -> str:
    """The digest of a text under the scheme of now; empty when it cannot be read, as some lambdas alone cannot."""
    try:
        tree = ast.parse(dedent(source.text))
    except (SyntaxError, ValueError):
        return ""
    left_out = local_annotations(tree)
    for mark in source.refers:
        if mark.startswith("(decorator ") and tree.body:
            place = int(mark.split()[1])
            decorators = getattr(tree.body[0], "decorator_list", [])
            left_out |= {id(decorators[place])} if place < len(decorators) else set()
    with_docs = "(docstrings count)" in source.refers
    return digest("text", encode_tree(tree, left_out, with_docs=with_docs))
