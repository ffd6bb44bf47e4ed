"""The client as the settings describe it."""

from pydantic import SecretStr

from flows.asknews.authentication import ApiKey, Authentication, ClientCredentials
from flows.asknews.client import AskNewsClient
from flows.asknews.errors import MissingCredentials
from flows.settings import Settings


def client_from_settings(settings: Settings, *, api_key: SecretStr | None = None) -> AskNewsClient:
    """Make a client for the configured account, by the settings' API key, else `api_key`, else client credentials.

    `api_key` is one kept elsewhere, such as in a Prefect Secret block. Raises MissingCredentials, before any request,
    with the names of the variables to set.
    """
    return AskNewsClient(
        base_url=settings.asknews_api_url,
        authentication=_authentication(settings, api_key),
        read_timeout_seconds=settings.request_timeout_seconds,
        max_response_bytes=settings.max_response_bytes,
        requests_per_second=settings.requests_per_second,
    )


def _authentication(settings: Settings, api_key: SecretStr | None) -> Authentication:
    key = settings.asknews_api_key or api_key
    if key is not None:
        return ApiKey(key)
    client_id, client_secret = settings.asknews_client_id, settings.asknews_client_secret
    if client_id is not None and client_secret is not None:
        return ClientCredentials(client_id, client_secret, token_url=settings.asknews_token_url)
    raise MissingCredentials(
        settings.missing_half_of_login()
        or "no AskNews credentials: set ASKNEWS_API_KEY, or ASKNEWS_CLIENT_ID and ASKNEWS_CLIENT_SECRET"
    )
