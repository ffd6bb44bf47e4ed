"""What the flow, its hooks and the reconciler may know about one execution, for hypothesis to draw from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from flows.monitoring.log.merge import AUTHORITY, STATUSES, Closing, Fact

EXECUTION = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
NOON = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)

# Few and near each other, so that writers agree, disagree and tie.
moments = st.integers(-3, 3).map(lambda number: NOON + timedelta(seconds=number, microseconds=number * 7))
texts = st.none() | st.sampled_from(["", "timed out", "crashed\x00", "crashed", "\ud800"])
values: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
details = st.dictionaries(
    st.sampled_from(["reason", "fetched", "claims", "\x00"]), values | st.lists(values), max_size=3
)

closings = st.builds(
    Closing,
    status=st.sampled_from(STATUSES),
    completed_at=moments,
    closed_by=st.sampled_from(AUTHORITY),
    error_message=texts,
    details=details,
)
facts = st.builds(
    Fact,
    execution_id=st.just(EXECUTION),
    job_name=st.just("poll_news"),
    scheduled_for=st.none() | moments,
    attempt=st.integers(0, 3),
    started_at=moments,
    closing=st.none() | closings,
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Fact], list[Fact]]:
    """Some facts, and the same ones in another order, each once or several times."""
    given = draw(st.lists(facts, min_size=1, max_size=6))
    repeats = draw(st.lists(st.sampled_from(given), max_size=4))
    return given, draw(st.permutations([*given, *repeats]))


def fact(attempt: int = 1, started: float = 0, closing: Closing | None = None, **changes: Any) -> Fact:
    """A fact about the one execution, `started` seconds after noon."""
    return replace(Fact(EXECUTION, "poll_news", NOON, attempt, NOON + timedelta(seconds=started), closing), **changes)


def closing(status: str, closed_by: str, ended: float = 10, error: str | None = None, **details: Any) -> Closing:
    """An end of the one execution, `ended` seconds after noon."""
    return Closing(status, NOON + timedelta(seconds=ended), closed_by, error, details)
