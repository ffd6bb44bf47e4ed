"""The AskNews API key where a Prefect Secret block keeps it."""

from pydantic import SecretStr

from flows.asknews import MissingCredentials
from flows.logs import register_secret
from flows.settings import Settings


async def api_key_from_block(settings: Settings) -> SecretStr | None:
    """Read the API key from its Prefect Secret block, where one is named and the environment has no key."""
    if settings.asknews_api_key is not None or settings.asknews_secret_block is None:
        return None
    from prefect.blocks.system import Secret

    try:
        block = await Secret.aload(settings.asknews_secret_block)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # Secret is generic
    except ValueError:
        raise MissingCredentials(
            f"There is no Secret block named {settings.asknews_secret_block!r}: make it, or set ASKNEWS_API_KEY."
        ) from None
    key = SecretStr(str(block.get()))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # as above
    register_secret(key.get_secret_value())
    return key
