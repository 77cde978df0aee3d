"""Functions that reach nothing of the project: what an earlier load found of them, kept with the index of their file.

The fingerprint of such a function goes by its text, which the index stands for, and by what its names lead to outside
the project. When that is the same as it was, so is the fingerprint, and nothing has to be hashed again. Names are
followed here by the same steps as for a new fingerprint (`names.py`); whatever is not as plain as that is left to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import FunctionType

from msgspec import Struct

from assetflow.fingerprint.nodes import Node, Origin, Reference
from assetflow.fingerprint.resolve import OF_ASSETS, Resolver
from assetflow.fingerprint.spoken import LOOK_UP
from assetflow.fingerprint.wrapped import attached


class Alone(Struct, frozen=True):
    """What is kept of one function; the fields of `CodeFingerprint`, and what they were found by.

    `local` is the digest of its only part, `name` what that is called. `leads` are the references outside the project
    that its chains lead to, those of decorators too (None: a name that is built in, or not there). `is_marked` says
    whether it is known to assetflow, which makes its annotations count.
    """

    digest: str
    local: str
    name: str
    outside: Sequence[str]
    shares_duckdb: bool
    leads: dict[str, str | None]
    is_marked: bool

    def holds(self, function: FunctionType, names: Resolver) -> bool:
        """Whether the function is still plain, and its names lead to where they led."""
        if not is_plain(function) or names.has_patches or self.is_marked != is_marked(function):
            return False
        return _leads(function, self.leads, names) == self.leads


def is_plain(function: object) -> bool:
    """Whether nothing hangs on a function besides its text."""
    return (
        type(function) is FunctionType
        and function.__closure__ is None
        and "__wrapped__" not in function.__dict__
        and not attached(function)
    )


def is_marked(function: FunctionType) -> bool:
    """Whether assetflow's decorators have put a definition on it."""
    return OF_ASSETS in function.__dict__


def alone(function: FunctionType, node: Node, names: Resolver, found: tuple[str, str, str, bool]) -> Alone | None:
    """What may be kept of a function whose node was filled; None where its text is not all that a later load must see.

    `found` are its digest, the digest and the name of its only part, and whether it shares DuckDB.
    """
    if not is_plain(function) or names.has_patches or node.kind != "function":
        return None
    if node.edges or node.notes or node.signs:
        return None
    pieces = names.files.pieces(function.__code__)
    if len(pieces) != 1:
        return None
    (piece,) = pieces
    chains = dict.fromkeys((*piece.chains, *piece.annotation_chains))
    chains.update(dict.fromkeys(chain for one in piece.decorators for chain in one.chains))
    if piece.imports or piece.signs or not (LOOK_UP.isdisjoint(piece.attributes) and LOOK_UP.isdisjoint(chains)):
        return None
    leads = _leads(function, chains, names)
    outside = {chain: reference for chain, reference in leads.items() if not isinstance(reference, int)}
    if len(outside) < len(leads):
        return None
    digest, local, name, shares = found
    references = list(dict.fromkeys(reference for _, reference in node.outside))
    return Alone(digest, local, name, references, shares, outside, is_marked(function))


def _leads(function: FunctionType, chains: Iterable[str], names: Resolver) -> dict[str, Reference | None]:
    """What the chains mean in the module of the function."""
    origin, given = Origin(function.__code__.co_filename, function.__module__ or "", ""), function.__globals__
    return {chain: names.leads_to(chain, given, origin) for chain in chains}
