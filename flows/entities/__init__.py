"""Who is tracked, and which text mentions whom. Pure: no network, no database, no Prefect."""

from flows.entities.matcher import EntityMatcher, evidence_of
from flows.entities.surroundings import NEAR_WORDS
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
    "evidence_of",
    "load_tracked",
    "parse_tracked",
    "search_names",
]
