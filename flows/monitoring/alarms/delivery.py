"""A message, delivered to one receiver, or known not to be: delivered means that the receiver was asked and took it."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import httpx

from flows.logs import redact
from flows.monitoring.alarms.answers import AnswerTooLong, post
from flows.monitoring.alarms.block_answers import bounded_answers
from flows.monitoring.alarms.incidents import Call, Incident, Service, server_incident_key, service_of
from flows.monitoring.alarms.messages import Kind, Message
from flows.monitoring.alarms.receivers import (
    InvalidReceiver,
    Receiver,
    block_address,
    plugins_of_address,
    plugins_of_block,
)

if TYPE_CHECKING:
    from prefect.blocks.abstract import NotificationBlock

DELIVERY_SECONDS = 20.0
# Incidents that are reported at a time.
PARALLEL_CALLS = 5
# What a receiver takes that does not say it; and no more of anything, as nobody reads it.
LONGEST_BODY = 15_000
# A receiver may put the subject into the body, with some characters of its own.
_DECORATION = 50

# In Apprise's words. What a plugin does depends on it: with "info", which is the default, some send nothing at all.
_TYPES = {Kind.ALARM: "failure", Kind.REMINDER: "failure", Kind.WARNING: "warning", Kind.RECOVERY: "success"}

T = TypeVar("T")


class NotDelivered(Exception):
    """A message did not reach its receiver, or not all of it; the text says why, without secrets.

    `accepted` are the incidents that the receiver took all the same.
    """

    def __init__(self, text: str, accepted: Collection[str] = ()) -> None:
        super().__init__(text)
        self.accepted = frozenset(accepted)


@dataclass(frozen=True)
class Sender:
    """How to reach a receiver: Apprise plugins, the services that keep incidents, or one of Prefect's other blocks."""

    plugins: Sequence[Any] = ()
    services: Sequence[Service] = ()
    block: "NotificationBlock | None" = None


async def deliver(receiver: Receiver, message: Message, *, source: str) -> None:
    """Deliver a message to a receiver, within 20 seconds, in its own terms. `source` is the installation.

    Raises InvalidReceiver when its address cannot be used, and NotDelivered when it refuses, is away, redirects, or
    was not asked at all.
    """
    accepted: set[str] = set()
    try:
        async with asyncio.timeout(DELIVERY_SECONDS):
            sender = await sender_of(receiver)
            if sender.services:
                await _report(sender.services, message, source, accepted)
            if sender.block is not None:
                with bounded_answers():
                    body = message.fitted_body(LONGEST_BODY)
                    await cast("Any", sender.block).anotify(subject=message.subject, body=body)
            if sender.plugins:
                await _notify(sender.plugins, message)
    except InvalidReceiver:
        raise
    except Exception as error:  # noqa: BLE001  # each receiver fails in its own way; any failure is one to try again
        raise NotDelivered(_failure(error), accepted) from None


def _failure(error: Exception) -> str:
    match error:
        case NotDelivered():
            return str(error)
        case TimeoutError():
            return f"The receiver did not answer within {DELIVERY_SECONDS:g} s."
        case AnswerTooLong():
            return "The receiver answered more than anybody reads."
        case httpx.HTTPStatusError():
            return f"The receiver answered {error.response.status_code}."
        case _:
            # Its text may quote the address.
            return f"The message could not be delivered: {type(error).__name__}."


async def sender_of(receiver: Receiver) -> Sender:
    """Find out how to reach `receiver`. Raises InvalidReceiver."""
    if block_address(receiver) is None:
        plugins = plugins_of_address(receiver)
    else:
        block = await _load(receiver)
        # Prefect's blocks but for the custom webhook are Apprise's plugins, under a name.
        client = getattr(block, "_apprise_client", None)
        if client is None:
            return Sender(block=block)
        plugins = plugins_of_block(client)
    services = [service_of(plugin) for plugin in plugins]
    return Sender(
        plugins=[plugin for plugin, service in zip(plugins, services, strict=True) if service is None],
        services=[service for service in services if service is not None],
    )


async def _load(receiver: Receiver) -> "NotificationBlock":
    import prefect.blocks.notifications  # noqa: F401  # pyright: ignore[reportUnusedImport]  # registers the types
    from prefect.blocks.core import Block

    try:
        return cast("NotificationBlock", await Block.aload(receiver.address.get_secret_value()))
    except ValueError as error:
        raise InvalidReceiver(f"{receiver.setting}: {_in_short(str(error))}") from None


async def _report(services: Sequence[Service], message: Message, source: str, accepted: set[str]) -> None:
    """Open, update or close an incident for each job of the message, and note which ones the services have accepted."""
    calls = [(incident.key, service(incident)) for service in services for incident in _incidents(message, source)]
    limit = asyncio.Semaphore(PARALLEL_CALLS)
    # Redirects are not followed: a POST would become a GET that succeeds, and says nothing to anybody.
    async with httpx.AsyncClient(timeout=DELIVERY_SECONDS, follow_redirects=False) as client:

        async def make(key: str, call: Call) -> None:
            async with limit:
                response = await post(client, call.url, json=call.json, headers=call.headers)
            _check(call, response)
            accepted.add(key)

        outcomes = await asyncio.gather(*(make(key, call) for key, call in calls), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _incidents(message: Message, source: str) -> Iterator[Incident]:
    for notice in message.notices:
        incident = Incident(
            key=notice.incident or server_incident_key(source),
            kind=notice.kind,
            job_name=notice.job_name,
            subject=f"{message.prefix}: {notice.headline}",
            body=f"{notice.text}\n\n{message.closing}",
            source=source,
            url=notice.link,
        )
        yield incident
        body = incident.body
        if notice.kind is not Kind.RECOVERY:
            body = f"This is over. What came after it:\n\n{body}"
        for key in notice.closes:
            yield replace(incident, key=key, kind=Kind.RECOVERY, body=body)


def _check(call: Call, response: httpx.Response) -> None:
    if not response.is_success:
        raise NotDelivered(f"The receiver answered {response.status_code}: {_in_short(response.text[:300])}")
    try:
        answer = response.json()
    except ValueError:
        answer = None
    said = cast("dict[str, Any]", answer) if isinstance(answer, dict) else dict[str, Any]()
    if any(said.get(name) != value for name, value in call.answer.items()):
        raise NotDelivered(
            f"The receiver answered {response.status_code}, but not as one that has taken it: "
            f"{_in_short(response.text[:300])}"
        )


async def _notify(plugins: Sequence[Any], message: Message) -> None:
    """Send one message through Apprise."""
    import apprise

    from flows.monitoring.alarms.plugin_answers import bound_answers

    bound_answers()
    subject = message.fitted_subject(min(plugin.title_maxlen or 250 for plugin in plugins))
    body_limit = min(LONGEST_BODY, *(plugin.body_maxlen for plugin in plugins)) - len(subject) - _DECORATION
    told: dict[str, Any] = {
        "title": subject,
        "body": message.fitted_body(body_limit),
        "notify_type": _TYPES[message.kind],
        "body_format": apprise.NotifyFormat.TEXT,
    }

    def notify_all() -> bool:
        # One at a time, in this thread: several would be asked in threads for which the process waits at its end.
        outcomes = [apprise.Apprise([plugin]).notify(**told) for plugin in plugins]  # pyright: ignore[reportUnknownMemberType]  # Apprise has no types
        return all(outcomes)

    is_delivered, said = False, ""
    with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as log:
        is_delivered = await _in_expendable_thread(notify_all)
        said = cast("StringIO", log).getvalue()
    if not is_delivered:
        raise NotDelivered(_in_short(said) or "The receiver did not accept the message, and gave no reason.")
    # Each plugin notes when it last asked its receiver. One that has not, and is content, has reached nobody.
    if any(getattr(plugin, "_last_io_datetime", None) is None for plugin in plugins):
        raise NotDelivered("The receiver's plugin reported success, and sent nothing.")


async def _in_expendable_thread(work: Callable[[], T]) -> T:
    """The result of `work`. A caller that loses patience leaves it to its thread, which the process may end without.

    Python waits at its end for the threads of its own pools, and a receiver that answers without an end would keep the
    status flow's process, and a worker's slot, for ever.
    """
    done: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the caller's
            if done.set_running_or_notify_cancel():
                done.set_exception(error)
        else:
            if done.set_running_or_notify_cancel():
                done.set_result(result)

    threading.Thread(target=run, name="notification", daemon=True).start()
    return await asyncio.wrap_future(done)


def _in_short(text: str) -> str:
    lines = [line.strip().removeprefix("[WARNING]: ") for line in str(redact(text)).splitlines() if line.strip()]
    return "; ".join(lines[-3:])[:500]
