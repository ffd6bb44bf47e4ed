"""The two servers that are asked, and how a message names them: with the variable to check and the address in it."""

from dataclasses import dataclass

import httpx

# The paths that the client asks for begin with it, so that an address may end with it or not.
API_VERSION_PATH = "/v1"


@dataclass(frozen=True)
class Endpoint:
    """A server: what to call it, the variable that holds its address, and the address as it may be shown."""

    name: str
    variable: str
    address: str

    @property
    def check(self) -> str:
        """What to look at when the server seems to be another one."""
        return f"check {self.variable}, which is {self.address}"


def api_endpoint(base_url: str) -> Endpoint:
    """Describe the API at `base_url`."""
    return Endpoint("AskNews", "ASKNEWS_API_URL", shown(httpx.URL(base_url)))


def token_endpoint(token_url: str) -> Endpoint:
    """Describe the server that exchanges client credentials for a token."""
    return Endpoint("AskNews' token endpoint", "ASKNEWS_TOKEN_URL", shown(httpx.URL(token_url)))


def without_version(base_url: str) -> str:
    """Return `base_url` without a `/v1` at its end."""
    return base_url.rstrip("/").removesuffix(API_VERSION_PATH)


def shown(url: httpx.URL) -> str:
    """Return `url` without user, password, query and fragment, any of which may hold a secret."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))
