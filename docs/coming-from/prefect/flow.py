# flow.py
import json
import os
from pathlib import Path

from assetflow import Config, Context, Cue, Retry, asset


@asset(cue=Cue(ttl="1h"), retry=Retry(3, delay="0.1s"))
def extract(context: Context) -> list[dict[str, int]]:
    """Readings of a meter; they count for an hour, and the first answers may fail to come."""
    if context.attempt <= int(os.environ.get("LOST_ANSWERS", "0")):
        raise TimeoutError("the meter does not answer")
    context.log.info("read on attempt %s", context.attempt)
    return [{"meter": 1, "kwh": 4}, {"meter": 2, "kwh": 0}, {"meter": 3, "kwh": 9}]


class TransformConfig(Config):
    at_least: int = 1


@asset
def transform(extract: list[dict[str, int]], config: TransformConfig) -> list[dict[str, int]]:
    """The meters that used something."""
    return [row for row in extract if row["kwh"] >= config.at_least]


@asset
def load(transform: list[dict[str, int]]) -> None:
    """Hands the readings on; None says that they are stored already."""
    Path("delivered").mkdir(exist_ok=True)
    Path("delivered/readings.json").write_text(json.dumps(transform))
