"""What of an asset's definition an attempt tried: whether a failure says something of the asset as it is now."""

from __future__ import annotations

import json

from assetflow.fingerprint.hashing import digest
from assetflow.model.records import Attempt
from assetflow.model.spec import AssetSpec

FAILED = ("failed", "rejected", "died")


def tried(spec: AssetSpec | None) -> str:
    """A digest of the code, the declared version and the config of an asset; empty of what has no code."""
    if spec is None or not spec.code:
        return ""
    config = json.dumps(dict(spec.config or {}), sort_keys=True)
    return digest("tried", spec.code.encode(), (spec.code_version or "").encode(), config.encode())


def is_of_another(spec: AssetSpec, attempt: Attempt | None) -> bool:
    """Whether an attempt failed with another definition than that of now. Nothing is said of those not recorded."""
    if attempt is None or attempt.state not in FAILED or not attempt.definition:
        return False
    return attempt.definition != tried(spec)
