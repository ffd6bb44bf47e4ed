"""The notification block that the server's automations send through, from the one setting that says where alarms go."""

import json
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from flows.monitoring.alarms.delivery import sender_of
from flows.monitoring.alarms.incidents import Incident, Service, server_incident_key
from flows.monitoring.alarms.messages import Kind
from flows.monitoring.alarms.receivers import DEFAULT, InvalidReceiver, block_address, check_receivers, receivers_of
from flows.settings import Settings

if TYPE_CHECKING:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook

# Ours, made from an Apprise address. A block of the user's own has another name.
BLOCK_NAME = "vibecheck-alarms"

logger = structlog.stdlib.get_logger()


async def receiver_block(client: PrefectClient, settings: Settings) -> UUID | None:
    """Return the id of the block to notify through: made or updated from an Apprise address, or the existing one named.

    None, with a warning that says what to set, if nothing is configured. Raises InvalidReceiver for an address that
    Apprise does not understand, and for a block that the server does not have.
    """
    receivers = receivers_of(settings)
    check_receivers(receivers.values())
    if (receiver := receivers.get(DEFAULT)) is None:
        logger.warning(
            "no_notification_receiver",
            explanation="Nobody is told when a job is overdue. Set VIBECHECK_NOTIFICATION to an Apprise address "
            "(slack://…, a Teams or Discord webhook, mailto://…, json://…), or to a notification block of Prefect's as "
            "`type-slug/name`, in the environment of the worker too, and apply again.",
        )
        return None
    if (address := block_address(receiver)) is None:
        sender = await sender_of(receiver)
        block = (
            _incident_block(sender.services[0], settings.installation_name())
            if sender.services
            else apprise_block(receiver.address.get_secret_value())
        )
        return await block.asave(BLOCK_NAME, overwrite=True)
    slug, name = address
    try:
        return (await client.read_block_document_by_name(name=name, block_type_slug=slug)).id
    except ObjectNotFound:
        raise InvalidReceiver(
            f"{receiver.setting} names the block {slug}/{name}, and the server has none of that name."
        ) from None


def apprise_block(address: str) -> "SlackWebhook":
    """Make a block, not saved, that sends alarms to an Apprise address of any kind."""
    from prefect.blocks.notifications import SlackWebhook

    # Prefect's Slack block hands an address that is not Slack's to Apprise as it is: it is the general one.
    return SlackWebhook(url=cast("Any", address), notify_type="failure")


def _incident_block(service: Service, installation: str) -> "CustomWebhookNotificationBlock":
    """A block, not saved, that opens the one incident that the server itself reports, with a key to close it by."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    call = service(
        Incident(
            key=server_incident_key(installation),
            kind=Kind.ALARM,
            job_name="server",
            subject="{{subject}}",
            body="{{body}}",
            source=installation,
        )
    )
    hidden = json.dumps({"url": call.url, "headers": call.headers, "json_data": call.json}).replace(
        json.dumps(call.secret)[1:-1], "{{secret}}"
    )
    return CustomWebhookNotificationBlock(
        name="VibeCheck", secrets=cast("Any", {"secret": call.secret}), **json.loads(hidden)
    )
