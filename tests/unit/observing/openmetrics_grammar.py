"""A reader of OpenMetrics text, written from the specification and not from our writer: strict, line by line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?\Z", re.IGNORECASE)
SUFFIXES = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
"""Only types that the older text format has too."""

Labels = tuple[tuple[str, str], ...]


@dataclass
class Read:
    """One family as it was read: samples by name and labels in the order of the text."""

    kind: str
    unit: str = ""
    help: str = ""
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict[tuple[str, Labels], float])


def read(text: str) -> dict[str, Read]:
    """The families by name; an AssertionError with the line says what is not in the grammar."""
    assert text.endswith("# EOF\n"), "the end mark is missing"
    lines = text.split("\n")[:-2]
    assert "# EOF" not in lines
    families: dict[str, Read] = {}
    now = ""
    for line in lines:
        if line.startswith("# "):
            now = _metadata(line, families, now)
        else:
            _sample(line, families[now], now)
    _no_clashes(families)
    for name, family in families.items():
        _whole(name, family)
    return families


def _metadata(line: str, families: dict[str, Read], now: str) -> str:
    _, what, name, rest = line.split(" ", 3)
    assert NAME.match(name), line
    if what == "TYPE":
        assert rest in SUFFIXES, line
        assert name not in families, f"a family comes twice, or its samples are apart: {line}"
        families[name] = Read(rest)
        return name
    assert name == now, f"metadata of another family: {line}"
    assert not families[name].samples, f"metadata behind samples: {line}"
    if what == "UNIT":
        assert not families[name].unit, line
        assert name.endswith("_" + rest), f"the unit is not the end of the name: {line}"
        families[name].unit = rest
    else:
        assert what == "HELP", line
        assert not families[name].help, line
        families[name].help, end = _escaped(rest + '"', 0)
        assert end == len(rest) + 1, line
    return name


def _sample(line: str, family: Read, now: str) -> None:
    name, labels, place = line, [], 0
    cut = min(at for at in (line.find("{"), line.find(" ")) if at >= 0)
    name, place = line[:cut], cut
    assert NAME.match(name), line
    assert name.removeprefix(now) in SUFFIXES[family.kind], line
    assert name.startswith(now), line
    if line[place] == "{":
        place += 1
        while line[place] != "}":
            end = line.index("=", place)
            assert LABEL.match(line[place:end]), line
            assert line[end + 1] == '"', line
            value, after = _escaped(line, end + 2)
            labels.append((line[place:end], value))
            place = after
            assert line[place] in ",}", line
            place += line[place] == ","
            assert line[place - 1] != "," or line[place] != "}", line
        place += 1
    names = [label for label, _ in labels]
    assert len(names) == len(set(names)), f"a label comes twice: {line}"
    assert line[place] == " ", line
    found = line[place + 1 :]
    assert NUMBER.match(found), f"no plain number, or something behind it: {line}"
    key = (name, tuple(labels))
    assert key not in family.samples, f"a series comes twice: {line}"
    family.samples[key] = float(found)


def _escaped(text: str, place: int) -> tuple[str, int]:
    """The text up to the next quote, and the place behind that quote."""
    found: list[str] = []
    while text[place] != '"':
        assert text[place] != "\n"
        if text[place] == "\\":
            place += 1
            found.append({"n": "\n", "\\": "\\", '"': '"'}[text[place]])
        else:
            found.append(text[place])
        place += 1
    return "".join(found), place + 1


def _no_clashes(families: dict[str, Read]) -> None:
    """No family is named as a sample of another one could be."""
    for name, family in families.items():
        taken = [name + suffix for suffix in (*SUFFIXES[family.kind], "_created") if suffix]
        assert not set(taken) & families.keys(), name


def _whole(name: str, family: Read) -> None:
    assert family.samples, f"{name} has no samples"
    assert family.help, f"{name} has no help"
    if family.kind != "gauge":
        assert all(value >= 0 and math.isfinite(value) for value in family.samples.values()), name
    if family.kind == "histogram":
        _histogram(name, family)


def _histogram(name: str, family: Read) -> None:
    groups: dict[Labels, list[tuple[str, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            *rest, (label, bound) = labels
            assert label == "le", "le is the last label here"
            groups.setdefault(tuple(rest), []).append((bound, value))
    for labels, buckets in groups.items():
        bounds, counts = [bound for bound, _ in buckets], [count for _, count in buckets]
        assert bounds[-1] == "+Inf", name
        assert all("." in bound for bound in bounds[:-1]), "bounds are written as floats"
        assert [float(bound) for bound in bounds] == sorted({float(bound) for bound in bounds}), name
        assert counts == sorted(counts), name
        assert family.samples[f"{name}_count", labels] == counts[-1], name
        assert (f"{name}_sum", labels) in family.samples, name
