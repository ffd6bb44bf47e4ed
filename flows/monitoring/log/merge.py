"""How what several writers know about one execution becomes one row. Pure.

The flow, its hooks and the reconciler write at any time, in any order and more than once; none of them can wait for the
others. So `merge` is a join: commutative, associative and idempotent. Whatever arrives, however often and in whichever
order, the row ends the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from flows.database.types import canonical_json, clean_json, clean_text
from flows.monitoring.vocabulary import Status, Writer

# Who is believed more stands further right.
AUTHORITY = tuple(Writer)
# Among equals the status further right wins: a success that was committed is never taken back.
STATUSES = (Status.MISSED, Status.SKIPPED, Status.CANCELLED, Status.FAILURE, Status.PARTIAL_FAILURE, Status.SUCCESS)
# The key in the row's metadata under which each closer's own word is kept.
CLAIMS = "claims"
LONGEST_ERROR = 8_000
# The statistics of a poll that mentions 500 entities fit. A status page reads 60 rows of each job.
LONGEST_DETAILS = 16_000
# The key that says how many details were left out, and room for it.
LEFT_OUT = "left_out"
_ROOM_FOR_COUNT = 40


@dataclass(frozen=True)
class Closing:
    """How an execution ended, as `closed_by` says it.

    `status` is one of STATUSES, `closed_by` one of AUTHORITY. `details` are kept as JSON gives them back (see
    `clean_json`); their key "claims" is reserved and left out. The error is cut to LONGEST_ERROR characters, and of the
    details those are kept that `bounded` keeps.
    Raises ValueError for an unknown status or closer, or a naive time.
    """

    status: str
    completed_at: datetime
    closed_by: str
    error_message: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.status!r} is not a status that an execution ends with: {', '.join(STATUSES)}.")
        if self.closed_by not in AUTHORITY:
            raise ValueError(f"{self.closed_by!r} closes no row: {', '.join(AUTHORITY)}.")
        _require_aware(self.completed_at)
        # What is compared is what the database will give back, so that a row read again merges as the original would.
        if self.error_message is not None:
            object.__setattr__(self, "error_message", clean_text(self.error_message)[:LONGEST_ERROR])
        details: dict[str, Any] = clean_json(self.details)
        details.pop(CLAIMS, None)
        object.__setattr__(self, "details", bounded(details))

    def rank(self) -> tuple[object, ...]:
        """Rank closings in a total order: the greatest wins whole."""
        return (
            AUTHORITY.index(self.closed_by),
            STATUSES.index(self.status),
            self.completed_at,
            canonical_json([self.error_message, self.details]),
        )


@dataclass(frozen=True)
class Fact:
    """What one writer knows about an execution, or all of them together.

    `attempt` counts the starts of the run's body, 0 if it never started; `started_at` is then the scheduled time.
    `claims` says how each closer would have the execution end; a closing adds its own. Raises ValueError for a naive
    time or a negative attempt.
    """

    execution_id: UUID
    job_name: str
    scheduled_for: datetime | None
    attempt: int
    started_at: datetime
    closing: Closing | None = None
    claims: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        _require_aware(self.started_at)
        if self.scheduled_for is not None:
            _require_aware(self.scheduled_for)
        if self.attempt < 0:
            raise ValueError("An execution cannot have started less than 0 times.")
        object.__setattr__(self, "job_name", clean_text(self.job_name))
        if self.closing is not None:
            own = {self.closing.closed_by: self.closing.status}
            object.__setattr__(self, "claims", _join_claims(self.claims, own))

    @property
    def status(self) -> str:
        """The log's status: how the execution ended, or that it is running."""
        return Status.RUNNING if self.closing is None else self.closing.status


def merge(a: Fact, b: Fact) -> Fact:
    """Join all that `a` and `b` know about one execution. Raises ValueError if they are about different ones.

    1. The closing with the greatest rank wins whole: no row mixes one writer's status with another's error.
    2. The execution started when its first attempt did; a start beats the time at which it should have started.
    3. Every closer's claim stays, so that a disagreement can be seen.
    """
    if a.execution_id != b.execution_id:
        raise ValueError("Facts about different executions cannot be merged.")
    return Fact(
        execution_id=a.execution_id,
        # Who knows the deployment says more than who knows its flow alone: "poll/eu" comes after "poll".
        job_name=max(a.job_name, b.job_name),
        scheduled_for=min((at for at in (a.scheduled_for, b.scheduled_for) if at is not None), default=None),
        attempt=max(a.attempt, b.attempt),
        started_at=min(a, b, key=lambda fact: (fact.attempt == 0, fact.started_at)).started_at,
        closing=max((each.closing for each in (a, b) if each.closing is not None), key=Closing.rank, default=None),
        claims=_join_claims(a.claims, b.claims),
    )


def bounded(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return `details` (clean JSON), or, where they are longer than LONGEST_DETAILS characters, as many as fit.

    The shortest are kept first: those are the counts and reasons, which others read. `left_out` then says how many
    are missing. What was bounded once stays as it is.
    """
    sizes = {name: len(_json({name: value})) for name, value in details.items()}
    if sum(sizes.values()) <= LONGEST_DETAILS:
        return dict(details)
    kept: dict[str, Any] = {}
    room = LONGEST_DETAILS - _ROOM_FOR_COUNT
    for name in sorted(details, key=lambda name: (sizes[name], name)):
        room -= sizes[name]
        if room < 0:
            break
        kept[name] = details[name]
    kept[LEFT_OUT] = len(details) - len(kept)
    return dict(sorted(kept.items()))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _join_claims(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    # A closer may speak twice, as after a retry: the claim that would win its row is the one that is kept.
    return {
        closer: max((claims[closer] for claims in (a, b) if closer in claims), key=STATUSES.index)
        for closer in sorted({*a, *b})
    }


def _require_aware(moment: datetime) -> None:
    if moment.utcoffset() is None:
        raise ValueError("A naive datetime says nothing: give it a timezone.")
