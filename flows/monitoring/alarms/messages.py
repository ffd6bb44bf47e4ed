"""What people are told: one message for everything that there is to say to a receiver at a time. Pure.

A subject begins with the same words, whoever sends it, and names the installation and the cause; the body says for each
cause since when, what was expected, the last error, what to do and where to look. It is as long as the receiver takes:
the worst first, the rest counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from flows.monitoring.verdicts.wording import listed

LONGEST_SUBJECT = 200
# Enough for a count of the rest, with some names.
_REST = 200


class Kind(StrEnum):
    """What a message is to its receiver, the worst first."""

    ALARM = "alarm"
    REMINDER = "reminder"
    WARNING = "warning"
    RECOVERY = "recovery"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What there is to say about one job."""

    job_name: str
    kind: Kind
    headline: str
    text: str
    incident: str | None
    """What identifies the outage, from its alarm to its recovery; None if only the Prefect server could tell of it."""
    since: datetime
    warning: str | None = None
    """What it warns of; None if it tells of an outage."""
    closes: Sequence[str] = ()
    """What else the receiver was told of the job that is over: what identifies each."""
    link: str | None = None
    pool: str | None = None
    """The work pool whose missing worker is the cause."""
    absent_since: datetime | None = None
    """Since when no worker polls it, where that is known: the job may be in trouble for longer, or for less."""


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """What is said at once of one cause, and of how many jobs."""

    kind: Kind
    headline: str
    text: str
    job_names: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one receiver is told. `closing` is the state of the whole, and where to look."""

    prefix: str
    paragraphs: Sequence[Paragraph]
    closing: str
    notices: Sequence[Notice]

    @property
    def kind(self) -> Kind:
        """The kind of the worst that it tells."""
        return min((paragraph.kind for paragraph in self.paragraphs), key=list(Kind).index)

    @property
    def subject(self) -> str:
        """The subject, for a receiver that takes a long one."""
        return self.fitted_subject(LONGEST_SUBJECT)

    def fitted_subject(self, limit: int) -> str:
        """Return the headlines that fit into so many characters, the worst first, and how many more there are."""
        headlines = [paragraph.headline for paragraph in self.paragraphs]
        prefix = f"{self.prefix}: "
        if len(headlines) > 1:
            prefix += f"{sum(len(paragraph.job_names) for paragraph in self.paragraphs)} jobs: "
        for count in range(len(headlines), 0, -1):
            rest = len(headlines) - count
            subject = prefix + "; ".join(headlines[:count]) + (f"; and {rest} more" if rest else "")
            if len(subject) <= limit:
                return subject
        return cut(prefix + headlines[0], limit)

    def fitted_body(self, limit: int) -> str:
        """Return the paragraphs that fit into so many characters, worst first; a count of the rest; and the closing."""
        closing = cut(self.closing, max(limit // 3, 100))
        texts = [paragraph.text for paragraph in self.paragraphs]
        for count in range(len(texts), 0, -1):
            rest = [name for paragraph in self.paragraphs[count:] for name in paragraph.job_names]
            body = "\n\n".join([*texts[:count], *([_counted(rest)] if rest else []), closing])
            if len(body) <= limit:
                return body
        rest = [name for paragraph in self.paragraphs[1:] for name in paragraph.job_names]
        tail = "\n\n".join([*([cut(_counted(rest), limit // 4)] if rest else []), closing])
        return cut(texts[0], max(limit - len(tail) - 2, 1)) + "\n\n" + tail


def incident_key(job_name: str, began: datetime, warning: str | None = None) -> str:
    """Identify an outage of a job, or what was warned of, from its first message to its end.

    Both may begin at the same moment.
    """
    return f"vibecheck:{job_name}:{began.isoformat()}" + (f":{warning}" if warning else "")


def cut(text: str, limit: int) -> str:
    """Return `text`, or as much of it as fits into so many characters with an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def _counted(names: Sequence[str]) -> str:
    return f"And {len(names)} more: {listed(names, _REST)}."
