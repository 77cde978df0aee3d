"""What the model takes from memory is what loading the same texts from files gives."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from assetflow.model.spec import AssetSpec
from tests.model.story import Function, Input
from tests.model.written import HELPERS, helpers_text, loaded_project, text_of
from tests.unit.conftest import Workspace, workspace

__all__ = ["workspace"]

FUNCTIONS = [
    Function(("f0",), (Input("p0", "s0"), Input("", "s2", "version")), 1, "h1", 2, (("limit", "1"), ("rate", "0"))),
    Function(("f1x", "f1y"), (Input("p0", "f0", "columns", ("a",)), Input("p1", "s1")), 0, "h0", 3),
    Function(
        ("f2",),
        (Input("p0", "f1y", "columns", ("b",)), Input("", "f0", "order"), Input("", "f1x", "order", (), "f2")),
        2, "", 1, None, 4, "f2",
    ),
]  # fmt: skip

PRELUDE = """
from typing import Annotated
from assetflow import In, asset, assets, check, source
from tests.model.story import Function
from tests.model.written import Knobs, is_accepted, made, token_of
from helpers import h0, h1

s0 = source("s0", path="s0.json")
s1 = source("s1", version=token_of("s1"), load=token_of("s1"))
s2 = source("s2", version=token_of("s2"), ttl=3600)
"""


def essence(spec: AssetSpec) -> AssetSpec:
    """A spec without where it was written."""
    return replace(spec, file="", line=0, group="", checks=(), packages={}, code_parts=None)


def test_declarations_from_memory_are_those_of_files(workspace: Workspace) -> None:
    bodies = {"h0": 1, "h1": 2}
    workspace.file("helpers.py", helpers_text({name: bodies[name] for name in HELPERS}))
    workspace.file("assets.py", PRELUDE + "\n\n".join(text_of(one) for one in FUNCTIONS))
    workspace.file("assetflow.toml", 'modules = ["assets"]\n[config.f0]\nlimit = 1\n')
    workspace.file("s0.json", "1")

    from_files = {spec.key: essence(spec) for spec in workspace.project().graph.specs.values() if not spec.is_source}
    loaded = loaded_project(FUNCTIONS, bodies, Path(workspace.root), backwards=False)

    assert {spec.key: essence(spec) for spec in loaded.specs if not spec.is_source} == from_files
