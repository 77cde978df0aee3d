"""What a look at the text of a project found: findings with their place, and the report of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field

from assetflow.errors import Location
from assetflow.model.keys import AssetKey

ORDER = ("error", "warning", "note")


class Finding(Struct, frozen=True):
    """One thing to look at.

    severity: `error` cannot be right, `warning` makes results depend on more than code and inputs, `note` says what the
    fingerprint could not see. `kind` is the word of `# assetflow: ignore[...]`. `assets` are those that it concerns;
    `via` has the way from an asset to the place, where that is not its own function. `detail` is the path or variable
    that is read.
    """

    severity: str
    code: str
    kind: str
    what: str
    where: Location
    assets: tuple[AssetKey, ...]
    help: str
    via: Mapping[AssetKey, tuple[str, ...]] = field(default_factory=dict[AssetKey, tuple[str, ...]])
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        """The finding as JSON-able values."""
        return {
            "severity": self.severity, "code": self.code, "kind": self.kind, "message": self.what,
            "where": {"file": self.where.file, "line": self.where.line, "column": self.where.column or None},
            "assets": list(self.assets), "via": {key: list(way) for key, way in self.via.items()}, "help": self.help,
            "detail": self.detail or None,
        }  # fmt: skip


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then by place."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (ORDER.index(one.severity), one.where.file, one.where.line, one.where.column),
        )
    )


class StaticReport(Struct, frozen=True):
    """What `check --static` found: errors first, then by place. The counts say how much was looked at."""

    findings: tuple[Finding, ...]
    assets: int
    sources: int
    checks: int
    schedules: int
    files: int
    seconds: float

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many findings there are of each severity."""
        found = Counter(one.severity for one in self.findings)
        return {severity: found[severity] for severity in ORDER}

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.counts["error"]

    def to_json(self) -> dict[str, object]:
        """The report as JSON-able values."""
        return {
            "counts": dict(self.counts),
            "looked_at": {
                "assets": self.assets, "sources": self.sources, "checks": self.checks, "schedules": self.schedules,
                "files": self.files,
            },
            "findings": [one.to_json() for one in self.findings],
        }  # fmt: skip
