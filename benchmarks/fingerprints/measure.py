"""What fingerprints of 10,000 assets in 200 modules cost: `    python benchmarks/fingerprints/measure.py`.

A project is generated in a temporary folder and loaded in fresh processes: cold, warm, and after an edit of one file.
Figures are CPU seconds: of importing the modules, and of fingerprints, beyond that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HELPERS_OF_A_MODULE = 5


def generate(root: Path, assets: int, modules: int) -> None:
    """Write a project: each module has assets that call helpers, constants and classes of their own and of others."""
    package = root / "big"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (root / "assetflow.toml").write_text('name = "big"\nmodules = ["big"]\n')
    per_module = assets // modules
    for number in range(modules):
        other = number // 2  # modules below use those above, up to eight steps deep
        lines = [
            "import math",
            "from assetflow import asset",
            f"from big import m{other:03d} as other" if number else "",
        ]
        lines += [f"RATE_{n} = {number + n / 7!r}" for n in range(3)]
        lines += ["class Money:", '    """An amount."""', "    digits = 2", "    def round(self, x: float) -> float:"]
        lines += ["        return round(x * RATE_0, self.digits)"]
        for n in range(HELPERS_OF_A_MODULE):
            deeper = f"other.helper_{n}(x)" if number and other != number else "x"
            lines += [f"def helper_{n}(x, factor={n}):", f'    """Helper {n}."""', f"    y = {deeper}"]
            lines += [f"    return Money().round(y * factor + RATE_{n % 3}) + math.floor(x)"]
        for n in range(per_module):
            key = f"a{number:03d}_{n:03d}"
            upstream = f"a{number:03d}_{n - 1:03d}" if n % 10 else ""
            lines += ["@asset(description='made for measuring')", f"def {key}({upstream}):"]
            lines += [f"    rows = [helper_{n % HELPERS_OF_A_MODULE}(one) for one in range({n})]"]
            lines += [
                "    total = sum(rows) * RATE_1",
                f"    return {{'n': {n}, 'total': total, 'up': {upstream or 'None'}}}",
            ]
        (package / f"m{number:03d}.py").write_text("\n".join(lines) + "\n")


MEASURE = """
import json, sys, time
from pathlib import Path
import assetflow.load.definitions as definitions
from assetflow.load.settings import read_settings
settings = read_settings(Path(sys.argv[1]), environment={})
def timed(name):
    inner = getattr(definitions, name)
    def outer(*a, **k):
        start = time.process_time()
        try:
            return inner(*a, **k)
        finally:
            spent[name] = spent.get(name, 0.0) + time.process_time() - start
    setattr(definitions, name, outer)
spent = {}
for name in ("import_project", "with_code", "read_indexes", "write_indexes"):
    timed(name)
start = time.process_time()
loaded = definitions.load_project(settings)
spent["load"] = time.process_time() - start
spent["specs"] = len(loaded.specs)
print(json.dumps(spent))
"""


def measure(root: Path) -> dict[str, float]:
    """The CPU seconds of one load in a fresh process."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(root)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Generate, load cold, warm and after an edit, and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--modules", type=int, default=200)
    parser.add_argument("--keep", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = given.keep or Path(folder) / "project"
        if not root.exists():
            generate(root, given.assets, given.modules)
        for name in ("cold", "warm", "warm again"):
            show(name, measure(root))
        edited = root / "big" / "m001.py"
        edited.write_text(edited.read_text().replace("digits = 2", "digits = 3"))
        show("after an edit", measure(root))


def show(name: str, spent: dict[str, float]) -> None:
    """Print one line."""
    fingerprints = spent["with_code"] + spent["read_indexes"] + spent["write_indexes"]
    rest = spent["load"] - spent["import_project"] - fingerprints
    figures = f"import {spent['import_project']:.2f} s, fingerprints {fingerprints:.2f} s, the rest {rest:.2f} s"
    sys.stdout.write(f"{name:14} {spent['specs']:,.0f} assets: {figures}\n")


if __name__ == "__main__":
    main()
