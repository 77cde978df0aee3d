"""The child process of `refresh_in_child`: loads the project named in its folder and leaves the answer there."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import sys
from pathlib import Path

from assetflow.errors import ProjectLoadError
from assetflow.load.definitions import load_project
from assetflow.load.manifest import write_manifest
from assetflow.load.refresh import problem_to_json
from assetflow.load.settings import settings_from_json
from assetflow.model.code import sources_to_json
from assetflow.model.spec import spec_to_json


def main(folder_name: str) -> None:
    """Load the project of `request.json` in the folder; `answer.json` gets the specs or the problems.

    After the time limit the stacks of all threads go to `stack.txt`, and the process ends.
    """
    gc.set_threshold(100_000)  # importing pandas makes many objects and next to no circles
    folder = Path(folder_name)
    request = json.loads((folder / "request.json").read_bytes())
    settings = settings_from_json(request["settings"])
    with open(folder / "stack.txt", "w", encoding="utf-8") as stack:
        faulthandler.dump_traceback_later(request["timeout_s"], exit=True, file=stack)
        answer: dict[str, object]
        try:
            loaded = load_project(settings)
        except ProjectLoadError as error:
            answer = {"problems": [problem_to_json(one) for one in error.problems]}
        else:
            manifest = write_manifest(settings, loaded)
            texts = json.dumps(sources_to_json(manifest.code_sources))
            (folder / "sources.json").write_text(texts, encoding="utf-8")
            specs = [spec_to_json(spec) for spec in manifest.specs]
            answer = {"specs": specs, "files": list(manifest.files), "loaded_at": manifest.loaded_at}
            answer["automation"] = manifest.automation.to_json()
        faulthandler.cancel_dump_traceback_later()
    unfinished = folder / "answer.tmp"
    unfinished.write_text(json.dumps(answer), encoding="utf-8")
    unfinished.replace(folder / "answer.json")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the project's modules started must not keep the process that nobody needs any more


if __name__ == "__main__":
    main(sys.argv[1])
