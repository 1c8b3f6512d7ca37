"""A configuration with mistakes, without the objects that have them.

The programs keep the last good configuration then; a snapshot does not have that. What is left
after the faulty objects are taken out is as near to it as can be known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.config.compilation import compile_config
from mercurylb.config.model import Config
from mercurylb.config.problem import clip
from mercurylb.config.resources import FIELDS

if TYPE_CHECKING:
    from mercurylb.config.resources import Resources
    from mercurylb.errors import Problem
    from mercurylb.plan.snapshot import HasMetadata


def salvage(resources: Resources) -> tuple[Config, tuple[Problem, ...]]:
    """Compile what is all right, and give the problems of the whole."""
    config, problems = compile_config(resources)
    found = problems
    while config is None:
        named = {problem.object for problem in found}
        rest = {
            field: tuple(item for item in objects if _title(kind, item) not in named)
            for kind, field in FIELDS.items()
            for objects in [getattr(resources, field)]
        }
        if all(len(rest[field]) == len(getattr(resources, field)) for field in rest):
            return Config(), problems
        resources = msgspec.structs.replace(resources, **rest)
        config, found = compile_config(resources)
    return config, problems


def _title(kind: str, item: HasMetadata) -> str:
    return clip(f"{kind} {item.metadata.key}")
