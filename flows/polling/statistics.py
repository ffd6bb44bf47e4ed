"""What a polling run did, counted as it happens."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

from flows.polling.feeds import Stored


@dataclass
class Statistics:
    """A run's counts. `fetched = inserted + updated + unchanged + rejected` holds after every page."""

    requests: int = 0
    credits: int = 0
    # Of calls of which it is unknown whether AskNews charged them.
    uncertain_credits: int = 0
    pages: int = 0
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    newly_rejected: int = 0
    # Records that mention no tracked entity: stored, but linked to none.
    unlinked: int = 0
    # Stretches of time that were not read whole.
    deferred_stretches: int = 0
    # New records that AskNews indexed after they should have been found, and those of them that only the sweep found.
    late: int = 0
    late_finds: int = 0
    # How far back the last poll was, of the scope that was polled the longest ago; at first, how far this one reaches.
    gap_minutes: float = 0.0
    # Minutes from each new record's crawl to when it was found.
    found_after: list[float] = field(default_factory=list[float])
    archive_requests: int = 0
    caught_up: bool = True
    failures: list[str] = field(default_factory=list[str])
    by_entity: Counter[str] = field(default_factory=Counter[str])

    def count_page(self, *, fetched: int, rejected: int, newly_rejected: int, stored: Stored) -> None:
        """Count a page that was stored."""
        self.pages += 1
        self.fetched += fetched
        self.rejected += rejected
        self.newly_rejected += newly_rejected
        self.inserted += stored.counts.inserted
        self.updated += stored.counts.updated
        self.unchanged += stored.counts.unchanged
        for names in stored.mentions:
            self.by_entity.update(names)
            self.unlinked += not names

    @contextmanager
    def only_if_stored(self) -> Generator[None]:
        """Take back what is counted within, if the transaction that it belongs to fails."""
        before = deepcopy(vars(self))
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise

    def as_details(self) -> dict[str, Any]:
        """Return the counts as JSON for the log row and the run's state."""
        return {
            **asdict(self),
            "by_entity": dict(sorted(self.by_entity.items())),
            "found_after": self.found_after_distribution(),
        }

    def found_after_distribution(self) -> dict[str, float]:
        """Say how long after their crawl new records were found, in minutes; nothing if there were none."""
        if not self.found_after:
            return {}
        ordered = sorted(self.found_after)
        at = {"median": 0.5, "p95": 0.95, "longest": 1.0}
        return {name: round(ordered[ceil(share * len(ordered)) - 1], 1) for name, share in at.items()}

    def summary(self) -> str:
        """Sum up in one sentence, for the state's message and the artifact."""
        if self.fetched == 0:
            text = "Nothing new: AskNews returned no records."
        elif self.inserted == self.updated == self.newly_rejected == 0:
            text = f"Nothing new: all {self.fetched} records were known."
        else:
            text = (
                f"{self.fetched} fetched: {self.inserted} new, {self.updated} updated, {self.unchanged} unchanged, "
                f"{self.rejected} rejected."
            )
        if not self.caught_up:
            text += " More remains for the next run."
        if self.late_finds:
            text += f" The sweep found {self.late_finds} that were indexed late."
        if self.failures:
            text += " Failed: " + "; ".join(self.failures)
        return text
