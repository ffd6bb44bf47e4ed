"""Who is told: whether each receiver's address can be used, whether it refuses, and, on demand, a test alarm to it."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from deployments.commands.doctor.checks import CHECK_SECONDS, Check, Finding, Mark
from deployments.commands.doctor.machine import sqlite_file
from flows.database.engine import DATABASE_ERRORS, opened_engine, reading
from flows.monitoring.alarms.delivery import DELIVERY_SECONDS, NotDelivered, deliver, sender_of
from flows.monitoring.alarms.messages import Kind, Message, Notice, Paragraph
from flows.monitoring.alarms.receivers import InvalidReceiver, Receiver, receivers_of
from flows.monitoring.alarms.refusals import Refusal, explain_refusals, read_refusals
from flows.settings import Settings

SUBJECT = "receivers"
# Docker and podman leave these in each container.
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_TEXTS = {
    Kind.ALARM: ("a test alarm, nothing is wrong", "This is a test of `vibecheck doctor --send`. Nothing is wrong."),
    Kind.RECOVERY: ("the test alarm is over", "The test of `vibecheck doctor --send` is over."),
}


def receiver_checks(settings: Settings, *, send: bool) -> list[Check]:
    """Return the checks of the receivers; with `send` each gets a test alarm and its recovery."""
    receivers = receivers_of(settings)
    if not receivers:
        return [Check(SUBJECT, _nobody)]
    seconds = CHECK_SECONDS + 2 * DELIVERY_SECONDS if send else CHECK_SECONDS
    look = Check(SUBJECT, partial(_look, settings, receivers, send=send), seconds)
    return [look, Check("installation", _nameless)] if settings.installation is None and _is_container() else [look]


async def send_test(receiver: Receiver, *, installation: str) -> None:
    """Deliver a test alarm and its recovery, as one incident. Raises NotDelivered and InvalidReceiver."""
    began = datetime.now(UTC)
    for kind, (headline, text) in _TEXTS.items():
        notice = Notice(
            job_name="doctor",
            kind=kind,
            headline=headline,
            text=text,
            incident=f"vibecheck:doctor:{began.isoformat()}",
            since=began,
        )
        paragraph = Paragraph(kind=kind, headline=headline, text=text, job_names=[notice.job_name])
        message = Message(
            prefix=f"VibeCheck {installation}",
            paragraphs=[paragraph],
            closing=f"Sent to the receiver {receiver.name!r} ({receiver.setting}).",
            notices=[notice],
        )
        await deliver(receiver, message, source=installation)


async def _nobody() -> Sequence[Finding]:
    to_do = "Set VIBECHECK_NOTIFICATION (docs/monitoring.md), and `vibecheck apply`."
    return [Finding(SUBJECT, Mark.WARNING, "None is set: nobody is told of problems.", to_do)]


async def _nameless() -> Sequence[Finding]:
    text = "It is called as this container is, so that what another one opens at a receiver is never closed."
    to_do = "Set VIBECHECK_INSTALLATION to one name in all processes, and `vibecheck apply`."
    return [Finding("installation", Mark.WARNING, text, to_do)]


def _is_container() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(mark.exists() for mark in CONTAINER_MARKS)


async def _look(settings: Settings, receivers: Mapping[str, Receiver], *, send: bool) -> Sequence[Finding]:
    refusals = await _refusals(settings)
    return await asyncio.gather(
        *(_finding(receiver, refusals.get(name), settings, send=send) for name, receiver in receivers.items())
    )


async def _finding(receiver: Receiver, refusal: Refusal | None, settings: Settings, *, send: bool) -> Finding:
    subject = f"receiver {receiver.name}"
    correct = f"Correct {receiver.setting}, or see to it that the receiver takes messages."
    try:
        await sender_of(receiver)
        if send:
            await send_test(receiver, installation=settings.installation_name())
    except (InvalidReceiver, NotDelivered) as error:
        return Finding(subject, Mark.FAILURE, str(error), correct)
    if send:
        return Finding(subject, Mark.WELL, "It took a test alarm and its recovery.")
    if refusal is not None:
        text = explain_refusals([refusal], datetime.now(UTC))
        return Finding(subject, Mark.FAILURE, text, f"{correct} Then try: `vibecheck doctor --send`.")
    return Finding(subject, Mark.WELL, f"{receiver.setting} can be used; `--send` shows whether a message arrives.")


async def _refusals(settings: Settings) -> dict[str, Refusal]:
    """Return which receivers refused the last message; none if the database does not say, which its own check says."""
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        return {}
    try:
        async with opened_engine(settings) as engine, reading(engine) as connection:
            return {refusal.receiver: refusal for refusal in await read_refusals(connection)}
    except DATABASE_ERRORS:
        return {}
