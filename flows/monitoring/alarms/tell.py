"""Who is told what: each receiver gets one message for all that concerns it, and the default what another refused."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import structlog

from flows.monitoring.alarms.delivery import NotDelivered, deliver
from flows.monitoring.alarms.messages import Message, Notice
from flows.monitoring.alarms.receivers import DEFAULT, InvalidReceiver, Receiver

logger = structlog.stdlib.get_logger()

# Makes the message of some notices to the receiver of that name, with a word for its end.
Compose = Callable[[str, Sequence[Notice], str], Message]


@dataclass(frozen=True)
class Told:
    """The jobs that somebody was told of, and what came of each receiver: why it refused, or None if it did not.

    `taken` are the notices that each has taken; of one that keeps incidents, some of a message that it refused.
    """

    job_names: frozenset[str]
    outcomes: Mapping[str, str | None]
    taken: Mapping[str, Sequence[Notice]]


async def tell(
    receivers: Mapping[str, Receiver],
    routes: Mapping[str, Sequence[str]],
    notices: Sequence[Notice],
    compose: Compose,
    *,
    source: str,
    owed: Mapping[str, Sequence[Notice]] = MappingProxyType({}),
) -> Told:
    """Deliver the notices to the receivers of their jobs (`routes`, by the job's name).

    1. Each receiver but the default gets one message for its jobs, and with them what it is `owed`, by its name: what
       it refused before and another took; none, if `compose` alone has something to say to it.
    2. The default gets its own, and with them what another has refused, and why. What that is owed, it has had.
    3. A job was told of if anybody took a message about it: what is told twice to one who took it wakes him twice.
    """
    outcomes: dict[str, str | None] = {}
    taken: dict[str, Sequence[Notice]] = {}
    told = set[str]()
    refused: dict[str, Notice] = {}
    reasons = list[str]()

    async def offer(name: str, mine: Sequence[Notice], late: Sequence[Notice], closing: str = "") -> None:
        everything = {notice.job_name: notice for notice in (*mine, *late)}
        message = compose(name, list(everything.values()), closing)
        outcomes[name], taken[name] = await _offer(receivers[name], message, source)
        if outcomes[name] is None:
            told.update(notice.job_name for notice in mine)

    for name in receivers:
        mine, late = [notice for notice in notices if name in routes[notice.job_name]], owed.get(name, ())
        if name == DEFAULT or not (mine or name in owed):
            continue
        await offer(name, mine, late)
        if (why := outcomes[name]) is not None and mine:
            refused |= {notice.job_name: notice for notice in mine}
            reasons.append(f"The receiver {name!r} was to be told, and could not be: {why}")
    mine = [notice for notice in notices if DEFAULT in routes[notice.job_name] or notice.job_name in refused]
    late = owed.get(DEFAULT, ())
    if DEFAULT in receivers and (mine or DEFAULT in owed):
        await offer(DEFAULT, mine, late, "\n".join(reasons))
    return Told(frozenset(told), outcomes, taken)


async def _offer(receiver: Receiver, message: Message, source: str) -> tuple[str | None, Sequence[Notice]]:
    """Why the receiver did not take the message, None if it did; and what it took."""
    try:
        await deliver(receiver, message, source=source)
    except (NotDelivered, InvalidReceiver) as error:
        logger.error(  # noqa: TRY400  # the traceback would show the receiver's address
            "notification_not_delivered",
            receiver=receiver.name,
            subject=message.subject,
            error=str(error),
            explanation="It is tried again.",
        )
        return str(error), _taken_in_part(message, error.accepted if isinstance(error, NotDelivered) else ())
    logger.info("notification_delivered", receiver=receiver.name, subject=message.subject)
    return None, message.notices


def _taken_in_part(message: Message, accepted: Collection[str]) -> list[Notice]:
    return [
        replace(notice, closes=[key for key in notice.closes if key in accepted])
        for notice in message.notices
        if notice.incident in accepted
    ]
