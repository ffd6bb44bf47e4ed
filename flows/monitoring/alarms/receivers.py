"""Where alarms go: through one of Prefect's notification blocks, delivered or known not to be."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httpx

from flows.logs import redact
from flows.settings import MonitoringSettings

if TYPE_CHECKING:
    from prefect.blocks.abstract import NotificationBlock
    from prefect.blocks.notifications import SlackWebhook

DELIVERY_SECONDS = 20.0


class InvalidReceiver(Exception):
    """VIBECHECK_NOTIFICATION cannot be used; the text says why and never holds the address."""


class NotDelivered(Exception):
    """A message did not reach its receiver; the text says why, without secrets."""


def block_address(receiver: str) -> tuple[str, str] | None:
    """The type's slug and the name of an existing block, or None if `receiver` is an Apprise address.

    Raises InvalidReceiver if it is neither.
    """
    if "://" in receiver:
        return None
    slug, slash, name = receiver.partition("/")
    if not (slug and slash and name) or "/" in name:
        raise InvalidReceiver(
            "VIBECHECK_NOTIFICATION must be an Apprise address, such as slack://… or mailto://…, or the name of a "
            "notification block as `type-slug/name`."
        )
    return slug, name


def block_of_address(address: str) -> "SlackWebhook":
    """A block, not saved, that delivers to an Apprise address of any kind. Raises InvalidReceiver for a wrong one."""
    # Here, because Prefect and Apprise take seconds to import.
    from apprise import Apprise
    from prefect.blocks.notifications import SlackWebhook

    # A block takes a wrong address without complaint, and then fails at each message.
    if not Apprise().add(address):  # pyright: ignore[reportUnknownMemberType]  # Apprise has no types
        raise InvalidReceiver(
            "VIBECHECK_NOTIFICATION is an address that Apprise does not understand. For a webhook of your own, use "
            "json://host/path (or jsons:// for https)."
        )
    # Prefect's Slack block hands whatever is no address of Slack's to Apprise as it is: it is the general one.
    return SlackWebhook(url=cast("Any", address))


async def send(settings: MonitoringSettings, *, subject: str, body: str) -> None:
    """Deliver one message to the configured receiver, within 20 seconds.

    Raises InvalidReceiver when none is configured or it cannot be used, and NotDelivered when it refuses or is away.
    """
    from prefect.blocks.abstract import NotificationError

    try:
        async with asyncio.timeout(DELIVERY_SECONDS):
            block = await _load(settings)
            with block.raise_on_failure():
                await cast("Any", block).anotify(subject=subject, body=body)
    except InvalidReceiver:
        raise
    except NotificationError as error:
        raise NotDelivered(_explain(error.log)) from None
    except httpx.HTTPStatusError as error:
        raise NotDelivered(f"The receiver answered {error.response.status_code}.") from None
    except Exception as error:  # noqa: BLE001  # each block fails in its own way; any failure is one to try again
        # Its text may quote the address.
        raise NotDelivered(f"The message could not be delivered: {type(error).__name__}.") from None


async def _load(settings: MonitoringSettings) -> "NotificationBlock":
    if settings.notification is None:
        raise InvalidReceiver("VIBECHECK_NOTIFICATION is not set.")
    receiver = settings.notification.get_secret_value()
    if block_address(receiver) is None:
        return block_of_address(receiver)
    import prefect.blocks.notifications  # noqa: F401  # pyright: ignore[reportUnusedImport]  # registers the types
    from prefect.blocks.core import Block

    try:
        return cast("NotificationBlock", await Block.aload(receiver))
    except ValueError as error:
        raise InvalidReceiver(f"VIBECHECK_NOTIFICATION: {_explain(str(error))}") from None


def _explain(text: str) -> str:
    lines = [line.strip().removeprefix("[WARNING]: ") for line in str(redact(text)).splitlines() if line.strip()]
    return "; ".join(lines[-3:])[:500] or "The receiver did not accept the message, and gave no reason."
