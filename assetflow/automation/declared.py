"""What a project wants to have run over time, from its file and its modules, without importing them here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assetflow.load.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from assetflow.errors import ProjectLoadError
    from assetflow.load.settings import Settings


class Declared(Struct, frozen=True):
    """The settings with the jobs of modules beside those of the project file, and what the modules declared.

    `own` are the settings as the files have them: what is loaded is loaded with these. When the project does not load,
    `problem` says why. Then only the jobs of the project file are known.
    """

    settings: Settings
    own: Settings
    manifest: Manifest | None
    problem: ProjectLoadError | None = None

    @property
    def has_auto(self) -> bool:
        """Whether there are assets with `auto=`."""
        return self.manifest is not None and any(spec.auto is not None for spec in self.manifest.specs)

    @property
    def has_any(self) -> bool:
        """Whether anything is to be run over time, as far as that is known."""
        sensors = self.manifest is not None and bool(self.manifest.automation.sensors)
        return bool(self.settings.jobs) or sensors or self.has_auto

    @property
    def is_whole(self) -> bool:
        """Whether all jobs and sensors are known."""
        return self.manifest is not None


def declared(settings: Settings) -> Declared:
    """What is declared now. Modules are imported only when something changed, and then in a child process."""
    from assetflow.errors import ProjectLoadError

    manifest = read_manifest(settings)
    if manifest is None:
        from assetflow.load.refresh import refresh_in_child

        try:
            manifest = refresh_in_child(settings)
        except ProjectLoadError as error:
            return Declared(settings, settings, None, error)
    return with_manifest(settings, manifest)


def with_manifest(settings: Settings, manifest: Manifest | None) -> Declared:
    """What is declared, from a manifest that was read already; only the project file counts without one."""
    if manifest is None:
        return Declared(settings, settings, None)
    found = manifest.automation
    if not found.jobs:
        return Declared(settings, settings, manifest)
    origins = {**settings.origins, **{f"jobs.{name}": place for name, place in found.places.items()}}
    return Declared(replace(settings, jobs={**settings.jobs, **found.jobs}, origins=origins), settings, manifest)
