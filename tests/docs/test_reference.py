"""The reference is what the code says, and everything that users can name is in the documentation."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

import assetflow
from assetflow.cli.verbs import GLOBALS, SHOWN
from assetflow.errors import error_classes
from assetflow.files import Files
from assetflow.io.managers import built_in_managers
from assetflow.load.finding import ENVIRONMENT_KEYS
from assetflow.load.schema import _Defaults, _Layer
from assetflow.plan import selection_words

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md"))


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_reference", ROOT / "docs" / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_reference_is_what_the_code_says() -> None:
    pages: dict[str, str] = builder().build()

    changed = [name for name, text in pages.items() if reference(name) != text]

    assert changed == [], "run: python docs/build_reference.py"


def test_check_names_a_page_that_is_out_of_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module: Any = builder()
    module.REFERENCE = tmp_path
    assert module.main([]) == 0
    (tmp_path / "errors.md").write_text("old")

    assert module.main(["--check"]) == 1
    assert "errors.md" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in assetflow.__all__ if not name.startswith("_")])
def test_public_name_is_documented(name: str) -> None:
    guides = [page.read_text(encoding="utf-8") for page in PAGES if REFERENCE not in page.parents]

    assert f"\n## {name}\n" in reference("api.md")
    assert any(name in text for text in guides), f"no page outside of the reference tells of `{name}`"


@pytest.mark.parametrize("verb", SHOWN, ids=lambda verb: verb.name)
def test_verb_is_documented(verb: Any) -> None:
    assert f"\n## assetflow {verb.name}\n" in reference("cli.md")


@pytest.mark.parametrize("flag", [flag for option in GLOBALS for flag in option.flags])
def test_global_option_is_documented(flag: str) -> None:
    assert flag in reference("cli.md")


@pytest.mark.parametrize("code", error_classes())
def test_error_code_is_documented(code: str) -> None:
    assert f"\n## {code}\n" in reference("errors.md")
    assert error_classes()[code].__doc__


@pytest.mark.parametrize("key", [*_Layer.model_fields, *_Defaults.model_fields])
def test_configuration_key_is_documented(key: str) -> None:
    meanings = {**cast("Any", builder()).MEANINGS, **cast("Any", builder()).DEFAULTS_MEANINGS}

    assert f"\n| `{key}` |" in reference("configuration.md")
    assert meanings[key]


@pytest.mark.parametrize("key", ENVIRONMENT_KEYS)
def test_variable_is_documented(key: str) -> None:
    assert f"`ASSETFLOW_{key.upper()}`" in reference("configuration.md")


@pytest.mark.parametrize(
    "word",
    sorted({*selection_words.STATES, *selection_words.KINDS, *selection_words.REASONS, *selection_words.ATTEMPTS}),
)
def test_selection_word_is_documented(word: str) -> None:
    assert f"`{word}`" in reference("selection.md")


def test_every_io_is_described_in_the_storage_guide() -> None:
    guide = (ROOT / "docs" / "how-to" / "storage.md").read_text(encoding="utf-8")
    names = {*built_in_managers(Files(), warehouse=Path(), allow_pickle=False)} - {"memory", "none"}

    assert {name for name in names if f"`{name}`" not in guide} == set()


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")

    lost = [str(page.relative_to(ROOT / "docs")) for page in PAGES if page.name != "index.md"]

    assert [page for page in lost if f"({page})" not in index] == []


def test_links_between_pages_lead_somewhere() -> None:
    import re

    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [ROOT / "README.md", ROOT / "example_project" / "README.md", *PAGES]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert broken == []
