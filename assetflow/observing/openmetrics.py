"""The text of metrics: OpenMetrics 1.0, kept to what readers of the older Prometheus text format take as well.

Those know no other types than counter, gauge, histogram and summary, and refuse a whole file that has one; what
OpenMetrics has beside them (info, state sets) is therefore not used.

Source: the OpenMetrics 1.0 specification, section "Text format".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Sample(Struct, frozen=True):
    """One line: what stands behind the name of the family (`_total`, `_bucket`), the labels, and the value."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""

    def to_json(self) -> dict[str, object]:
        """The sample as JSON-able values."""
        return {"suffix": self.suffix, "labels": dict(self.labels), "value": self.value}


class Family(Struct, frozen=True):
    """The samples of one metric. `kind` is counter, gauge or histogram; a `unit` is also the end of the name."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]
    unit: str = ""

    def to_json(self) -> dict[str, object]:
        """The family as JSON-able values."""
        samples = [sample.to_json() for sample in self.samples]
        return {"name": self.name, "type": self.kind, "unit": self.unit, "help": self.help, "samples": samples}


def exposition(families: Iterable[Family]) -> str:
    """The whole text, with its end mark. Families without samples are left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# TYPE {family.name} {family.kind}")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}")
        lines.append(f"# HELP {family.name} {escaped(family.help)}")
        lines += [_line(family.name, sample) for sample in family.samples]
    return "\n".join([*lines, "# EOF", ""])


def escaped(text: str) -> str:
    """A text as it stands in a label value or a help: its backslashes, quotes and line feeds escaped."""
    whole = text.encode("utf-8", "replace").decode()  # what no text can be encoded as would spoil the file
    return whole.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    """A value as text: whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _line(name: str, sample: Sample) -> str:
    labels = ",".join([f'{label}="{escaped(value)}"' for label, value in sample.labels.items()])
    return f"{name}{sample.suffix}{'{' + labels + '}' if labels else ''} {number(sample.value)}"
