"""The tracked entities, as the commands need them that store who is tracked."""

from collections.abc import Sequence

from deployments.failures import CommandFailed
from flows.entities import TrackedEntity, load_tracked
from flows.entities.tracked import TRACKED_FILE, TrackedEntitiesError


def tracked_entities() -> Sequence[TrackedEntity]:
    """Return them. Raises CommandFailed with all that is wrong in their file."""
    try:
        return load_tracked()
    except TrackedEntitiesError as error:
        raise CommandFailed(f"{TRACKED_FILE} cannot be used:\n  " + str(error).replace("\n", "\n  ")) from None
