"""`python -m assetflow` is the command line."""

from __future__ import annotations

from assetflow.cli.main import run

if __name__ == "__main__":
    run()
