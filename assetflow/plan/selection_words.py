"""The words of the selection language: attributes, and the closed lists of values that some of them take."""

from __future__ import annotations

STATES = (
    "missing", "stale", "maybe", "reusable", "current", "pinned", "undecided", "failed", "blocked", "running",
    "overdue", "due", "on_time",
)  # fmt: skip
"""Words of `is:` that are looked up in the facts."""

KINDS = ("source", "external", "asset", "materializable")
"""Words of `is:` that the declaration alone answers: sources are external, all else is materializable."""

REASONS = (
    "never_materialized", "code_changed", "helper_changed", "dependency_changed", "config_changed", "files_changed",
    "env_changed", "discovered_file", "discovered_code", "input_changed", "input_added", "input_removed",
    "data_missing", "forced", "expired", "invalidated", "failed_last", "upstream_runs", "made_together",
    "source_unavailable", "upstream_missing", "pinned",
)  # fmt: skip
"""Words of `why:`: the codes of the reasons for which an asset would run."""

ATTEMPTS = (
    "running", "materialized", "unchanged", "linked", "cut_off", "skipped", "failed", "blocked", "rejected", "died",
)  # fmt: skip
"""Words of `last:`: how the last attempt at an asset ended."""

CHANGES = {
    "code": ("code_changed", "helper_changed", "discovered_code"), "config": ("config_changed",),
    "input": ("input_changed",), "files": ("files_changed", "discovered_file"), "env": ("env_changed",),
    "packages": ("dependency_changed",),
}  # fmt: skip
"""Words of `changed:` with the reasons that they stand for: code is the asset's own, that of its helpers, and what
else of the project ran."""

ATTRIBUTES = (
    "key", "tag", "group", "kind", "owner", "path", "io", "is", "why", "last", "store", "status", "changed",
    "code_changed",
)  # fmt: skip
"""Every word that may stand before a colon."""

ALIASES = {"store": "io", "status": "is"}
"""Second names of attributes."""

FUNCTIONS = ("roots", "sinks")

HABITS = {
    "fresh": "current", "materialized": "current", "late": "overdue", "outdated": "stale", "unsynced": "stale",
    "executable": "materializable", "error": "failed", "pending": "maybe",
}  # fmt: skip
"""Words that other tools use for a state, with ours."""

CLOSED = {
    "is": (*STATES, *KINDS),
    "why": REASONS,
    "last": ATTEMPTS,
    "changed": tuple(CHANGES),
}
"""The values that an attribute takes, for those that do not take any text."""

NULLABLE = ("why", "last")
"""Those of `CLOSED` that also take `<null>`, for assets that have none."""
