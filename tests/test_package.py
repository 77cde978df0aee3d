"""What a user installs: one version, a whole wheel, the public names, licences, and nothing of where it was written."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import assetflow

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "assetflow"

# Licences whose terms can be met by a user who gets assetflow under Apache-2.0 (SPDX names).
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0",
    "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
# How packages without an SPDX expression say it.
SPELLINGS = {
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def repository_files() -> list[Path]:
    """Files that are, or would be, committed; in a copy without git everything but what tools leave behind."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--full-name", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0 and (ROOT / ".git").exists():
        return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    left_behind = {".git", ".venv", "__pycache__", ".assetflow", ".hypothesis", ".coverage", "build", "dist"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(part in left_behind or part.endswith("_cache") for part in path.relative_to(ROOT).parts)
    ]


def runtime_dependencies() -> list[str]:
    """Names of every package that a plain installation brings, the direct ones and theirs, on this system."""
    waiting = [Requirement(line) for line in project()["dependencies"]]
    found: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if (requirement.marker and not requirement.marker.evaluate({"extra": ""})) or requirement.name in found:
            continue
        found.add(requirement.name)
        waiting += [Requirement(line) for line in metadata.requires(requirement.name) or ()]
    return sorted(found)


def licence_of(package: str) -> set[str]:
    """The SPDX names in a package's metadata; a package that states none gives the empty name, which fits nothing."""
    header = metadata.metadata(package)
    if "License-Expression" in header:
        return set(re.findall(r"[\w.+-]+", header["License-Expression"])) - {"AND", "OR", "WITH"}
    classifiers = [line for line in header.get_all("Classifier", []) if line.startswith("License :: OSI Approved :: ")]
    stated = [line.rpartition(" :: ")[2] for line in classifiers] or header.get_all("License", [""])
    return {SPELLINGS.get(name, name) for name in stated}


def public_names() -> set[str]:
    """What `assetflow/__init__.py` shows to type checkers."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0]
    ours = [node for node in imports if (node.module or "").startswith("assetflow.")]
    return {alias.asname or alias.name for node in ours for alias in node.names}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_version_is_the_same_in_code_metadata_and_changelog() -> None:
    headings = re.findall(r"^## \[(.+?)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert (project()["version"], headings[0]) == (assetflow.__version__, assetflow.__version__)


def test_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    written = {path.relative_to(ROOT).as_posix() for path in repository_files() if path.is_relative_to(PACKAGE)}

    assert packed == written


def test_wheel_says_that_it_is_typed_and_brings_its_queries(wheel: zipfile.ZipFile) -> None:
    packed = wheel.namelist()

    assert "assetflow/py.typed" in packed
    assert any(name.endswith(".sql") for name in packed)


def test_wheel_brings_both_commands_and_its_licence(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    header = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    scripts = wheel.read(f"{info}/entry_points.txt").decode()

    assert header["License-Expression"] == "Apache-2.0"
    assert wheel.read(f"{info}/licenses/LICENSE").decode() == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "assetflow = assetflow.cli.main:run" in scripts
    assert "af = assetflow.cli.main:run" in scripts


def test_all_lists_exactly_the_names_that_type_checkers_see() -> None:
    assert sorted(assetflow.__all__) == sorted(public_names() | {"__version__"})
    assert dir(assetflow) == sorted(assetflow.__all__)


def test_lock_holds_every_dependency_in_its_range_with_hashes_and_no_address() -> None:
    text = (ROOT / ".ci" / "dev.lock").read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE) if entry]
    locked = {entry.partition("==")[0]: Requirement(re.split(r"[ ;\\]", entry)[0]) for entry in entries}
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(line) for line in [*whole["project"]["dependencies"], *whole["dependency-groups"]["dev"]]]

    outside = [
        str(wish)
        for wish in wanted
        if not wish.specifier.contains(str(locked[wish.name].specifier).removeprefix("=="), prereleases=True)
    ]

    assert outside == []
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "//" not in text


@pytest.mark.parametrize("name", assetflow.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(importlib.import_module("assetflow"), name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = assetflow.nonsense


@pytest.mark.parametrize("package", runtime_dependencies())
def test_licence_of_a_runtime_dependency_fits_apache_2(package: str) -> None:
    licence = licence_of(package)

    assert licence <= PERMISSIVE


def test_no_file_names_a_package_index_or_the_machine_it_was_written_on() -> None:
    # In pieces, so that this file does not contain what it forbids.
    hosts = [("py", "pi.org"), ("python", "hosted.org"), ("npm", "js.org"), ("deb.", "debian.org"), ("crates", ".io")]
    paths = [
        ("/work", "/main"),
        ("/work", "/shared"),
        ("/root", "/."),
        ("/opt", "/wheels"),
        ("/opt", "/py"),
        ("/tmp", "/venv"),
    ]
    forbidden = re.compile("|".join(re.escape("".join(pieces)) for pieces in [*hosts, *paths]).encode())

    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in repository_files()
        if (match := forbidden.search(path.read_bytes()))
    ]

    assert found == []
