"""Writes the fingerprints of a project's functions as JSON; needs the standard library, msgspec and assetflow's text.

Run as `python printer.py CHECKOUT ROOT MODULE...` by the interpreters that the stability test finds.
"""

from __future__ import annotations

import importlib
import json
import sys
from types import FunctionType


def main(checkout: str, root: str, modules: list[str]) -> None:
    sys.dont_write_bytecode = True
    sys.path[:0] = [root, checkout]
    from assetflow.fingerprint.code import Fingerprinter
    from assetflow.fingerprint.files import ProjectFiles

    printer = Fingerprinter(ProjectFiles([root]))
    found: dict[str, str] = {}
    for name in modules:
        for key, value in sorted(vars(importlib.import_module(name)).items()):
            if isinstance(value, FunctionType) and "__assetflow__" in value.__dict__:
                found[key] = printer.of(value).digest
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
