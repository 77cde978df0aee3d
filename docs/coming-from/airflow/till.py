# till.py
from pathlib import Path


def payments() -> dict[str, float]:
    """What a till would answer; it is down once for each of the folders `down-1` to `down-3`."""
    for number in range(1, 4):
        if (mark := Path(f"down-{number}")).is_dir():
            mark.rmdir()
            raise ConnectionError("the till does not answer")
    return {"ann": 12.5, "bob": 40.0, "cyd": 7.25}
