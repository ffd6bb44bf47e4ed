"""Who is tracked, and which text mentions whom. Pure: no network, no database, no Prefect."""

from flows.entities.matcher import NEAR_WORDS, EntityMatcher
from flows.entities.tracked import (
    Category,
    TrackedEntitiesError,
    TrackedEntity,
    load_tracked,
    parse_tracked,
    search_names,
)

__all__ = [
    "NEAR_WORDS",
    "Category",
    "EntityMatcher",
    "TrackedEntitiesError",
    "TrackedEntity",
    "load_tracked",
    "parse_tracked",
    "search_names",
]
