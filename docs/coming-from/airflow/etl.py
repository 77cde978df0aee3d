# etl.py
import json
from pathlib import Path

import till

from assetflow import Context, asset


@asset(cue="always")
def extract(context: Context) -> dict[str, float]:
    """What each customer paid, asked for anew in every run."""
    context.log.info("attempt %s", context.attempt)
    return till.payments()


@asset
def transform(extract: dict[str, float]) -> dict[str, float]:
    """The day in three numbers."""
    amounts = sorted(extract.values())
    return {"payments": len(amounts), "total": round(sum(amounts), 2), "largest": amounts[-1]}


@asset
def load(transform: dict[str, float]) -> None:
    """Hands the numbers to who wants them; None says that it is stored already."""
    Path("delivered").mkdir(exist_ok=True)
    Path("delivered/day.json").write_text(json.dumps(transform))
