"""Pools as assets name them: each must be declared, with as many slots as one asset wants."""

from __future__ import annotations

from collections.abc import Iterator

from assetflow.errors import BadDeclaration, Location, near_names
from assetflow.load.settings import FILE, Settings
from assetflow.model.policies import Limits


def pool_problems(limits: Limits, settings: Settings | None, label: str, where: Location) -> Iterator[BadDeclaration]:
    """What is wrong with the pools that an asset takes slots of. In memory there are no pools."""
    for pool, slots in limits.pools.items() if settings is not None else ():
        size = settings.pools.get(pool) if settings is not None else None
        file = settings.file.name if settings is not None and settings.file is not None else FILE
        if size is None:
            near = near_names(pool, settings.pools, 1) if settings is not None else []
            yield BadDeclaration(
                f"{label} takes a slot of the pool `{pool}`, which is not declared",
                facts=[f"did you mean `{near[0]}`?"] if near else [],
                fix=f"write `{near[0]}`" if near else f"say how many slots it has in `{file}`: pools.{pool} = 2",
                where=where,
            )
        elif slots > size:
            has = "has 1 slot" if size == 1 else f"has {size} slots"
            yield BadDeclaration(
                f"{label} takes {slots} slots of the pool `{pool}`, which {has}, so it could never run",
                fix=f"take fewer, or give the pool more in `{file}`",
                where=where,
            )
