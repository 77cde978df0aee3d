"""What to say of names that nothing has when assets run in memory: their values are brought along, not declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from assetflow.errors import DefinitionError, near_names
from assetflow.model.keys import last_name


class Unmet(Struct, frozen=True):
    """A problem that is about the name `wanted`. `is_target`: a check judges it, so a value alone would not do."""

    problem: DefinitionError
    wanted: str
    is_target: bool = False


def told_in_memory(
    problems: Iterable[DefinitionError], unmet: Mapping[int, Unmet], unused: Iterable[str]
) -> list[DefinitionError]:
    """The problems in their order, with the fixes that `assetflow.materialize` has: its list of assets, and `inputs=`.

    Args:
        problems: as they would be told in a project.
        unmet: those of them that are about a name that nothing has, by the `id` of the problem.
        unused: names in `inputs=` that nothing takes; one that is near is what was meant.
    """
    spare = sorted(unused)
    return [_told(unmet[id(one)], spare) if id(one) in unmet else one for one in problems]


def _told(unmet: Unmet, unused: list[str]) -> DefinitionError:
    problem, name = unmet.problem, unmet.wanted
    is_near = any(fact.startswith("did you mean") for fact in problem.facts)
    slips = [] if unmet.is_target else near_names(name, unused, 1)
    facts = problem.facts
    if slips:
        facts = (f"inputs has `{slips[0]}`, which nothing takes; did you mean `{name}`?",)
        fix = f'write inputs={{"{name}": ...}}'
    elif unmet.is_target:
        fix = f"add what it checks to the list: materialize([{last_name(name)}, ...])"
    else:
        fix = f'give it in inputs={{"{name}": value}}'
        fix = f"{problem.fix}; or {fix}" if is_near else f"{fix}, or add the asset or source that makes it to the list"
    return type(problem)(problem.what, facts=facts, fix=fix, where=problem.where)
