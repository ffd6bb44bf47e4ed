"""The HTTP client that the requests go through, and what it raises as errors of the tree."""

import os
from typing import Any

import httpx

from flows.asknews.endpoints import Endpoint
from flows.asknews.errors import AskNewsError, ConnectionFailed, GatewayAnswered, Misconfigured, RequestTimedOut
from flows.asknews.proxies import proxy_refusal, proxy_variable
from flows.asknews.responses import Redact, one_line

CERTIFICATES = "SSL_CERT_FILE"

# Raised before a request is written. (A broken TLS handshake is a ConnectError too.)
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def http_client(**options: Any) -> httpx.AsyncClient:
    """Make an httpx.AsyncClient with `options`. Raises Misconfigured for unusable certificates or an unusable proxy."""
    try:
        return httpx.AsyncClient(**options)
    except OSError as error:
        problem = (
            f"{CERTIFICATES} names {os.environ.get(CERTIFICATES)}, from which no certificates can be read "
            f"({error.strerror or error.args[-1]}): correct it, or unset it"
        )
    except ImportError:
        problem = f"{proxy_variable('socks')} names a SOCKS proxy, which needs one more package: pip install socksio"
    except ValueError:
        problem = f"the proxy in {proxy_variable()} cannot be used: its address must begin with http:// or https://"
    # Raised out here, so that it does not keep httpx' error, which may quote a proxy's password.
    raise Misconfigured(problem)


def error_of_transport(error: httpx.RequestError | OSError, redact: Redact, endpoint: Endpoint) -> AskNewsError:
    """Return the tree's error for what httpx raised, without a reference to `error`: that holds request and headers."""
    translated = _translated(error, redact, endpoint)
    translated.was_sent = not isinstance(error, _NEVER_SENT)
    return translated


def _translated(error: httpx.RequestError | OSError, redact: Redact, endpoint: Endpoint) -> AskNewsError:
    kind = type(error).__name__
    match error:
        case httpx.TimeoutException() | TimeoutError():
            return RequestTimedOut(f"{endpoint.name} did not answer in time ({kind})")
        case httpx.UnsupportedProtocol():
            return Misconfigured(f"the address must begin with https:// or http://: {endpoint.check}")
        case httpx.DecodingError():
            return GatewayAnswered("the response's packed data is damaged")
        case httpx.ProxyError() if str(error).startswith("407"):
            return Misconfigured(proxy_refusal())
        case httpx.ProxyError():
            return ConnectionFailed(f"the proxy in {proxy_variable()} refuses: {one_line(str(error), redact)}")
        case httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ConnectionFailed(
                f"the certificate of {endpoint.name} is not trusted: {endpoint.check}; behind a proxy with its own "
                f"certificates, {CERTIFICATES} must name theirs (now: {os.environ.get(CERTIFICATES) or 'unset'})"
            )
        case httpx.ConnectError():
            proxy = f", or the proxy in {variable}" if (variable := proxy_variable()) else ""
            return ConnectionFailed(
                f"no connection to {endpoint.name}: {one_line(str(error), redact)}: {endpoint.check}{proxy}"
            )
        case _:
            # No text: a LocalProtocolError quotes the header that it objects to.
            return ConnectionFailed(f"the connection to {endpoint.name} broke ({kind})")
