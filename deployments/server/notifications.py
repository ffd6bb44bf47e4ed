"""The notification block that the server's automations send through, from the one setting that says where alarms go."""

from uuid import UUID

import structlog
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from flows.monitoring.alarms.receivers import InvalidReceiver, block_address, block_of_address
from flows.settings import Settings

# Ours, made from an Apprise address. A block of the user's own has another name.
BLOCK_NAME = "vibecheck-alarms"

logger = structlog.stdlib.get_logger()


async def receiver_block(client: PrefectClient, settings: Settings) -> UUID | None:
    """The id of the block to notify through: made or updated from an Apprise address, or the existing one named.

    None, with a warning that says what to set, if nothing is configured. Raises InvalidReceiver for an address that
    Apprise does not understand, and for a block that the server does not have.
    """
    if settings.notification is None:
        logger.warning(
            "no_notification_receiver",
            explanation="Nobody is told when a job is overdue. Set VIBECHECK_NOTIFICATION to an Apprise address "
            "(slack://…, a Teams or Discord webhook, mailto://…, json://…), or to a notification block of Prefect's as "
            "`type-slug/name`, in the environment of the worker too, and apply again.",
        )
        return None
    receiver = settings.notification.get_secret_value()
    if (address := block_address(receiver)) is None:
        return await block_of_address(receiver).asave(BLOCK_NAME, overwrite=True)
    slug, name = address
    try:
        return (await client.read_block_document_by_name(name=name, block_type_slug=slug)).id
    except ObjectNotFound:
        raise InvalidReceiver(
            f"VIBECHECK_NOTIFICATION names the block {slug}/{name}, and the server has none of that name."
        ) from None
