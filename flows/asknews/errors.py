"""What can go wrong between the pipeline and AskNews, as one tree:

    AskNewsError
    ├── RetryableError            the same request may succeed later; `retry_after` says when, if AskNews said so
    │   ├── RequestTimedOut       connecting, sending, reading or waiting for a free connection took too long
    │   ├── ConnectionFailed      no connection, or it broke before the response was complete
    │   ├── RateLimited           429: too many requests (429000) or too many at once (429001)
    │   ├── ServiceFailed         408, 409, 425 and 5xx, told by AskNews itself
    │   └── GatewayAnswered       an HTML page or a body that is not JSON: something in between answered
    └── PermanentError            the same request will fail again until somebody changes something
        ├── MissingCredentials    no usable credentials are configured
        ├── Misconfigured         an address, proxy or certificate file that cannot be used: a redirect, 407, SOCKS
        ├── CredentialsRefused    401, also after a renewed token
        ├── AccessDenied          403: the plan does not include this (403000, or without a code)
        ├── SubscriptionInactive  403011: no plan is paid for, whatever is asked
        ├── PaymentRequired       402: the plan's credits are spent, whatever is asked
        ├── InvalidRequest        400, 404, 422 and other 4xx
        ├── UnexpectedResponse    valid JSON of another shape than the contract's, or a page without one valid record
        │                         (unless they are few)
        └── ResponseTooLarge      the body, packed or unpacked, is over the configured limit, or holds more objects,
                                  items or points than a page has

Messages say what to do. They never hold a key, a secret or a token, and no error keeps the httpx exception that caused
it: that exception holds the request, and the request holds the `Authorization` header.
"""

from typing import Literal


class AskNewsError(Exception):
    """A request to AskNews failed, or could not be made.

    `status` is the HTTP status, None where no response came; `code` is AskNews' own code (status times 1000 plus n),
    None where the body had none. `was_sent` is False where the request itself certainly never reached the API: there
    was no connection, or no token for it. It is True where that is unknown, as after a timeout. `is_foreign` is True
    where the answer is certainly not AskNews' own: a page from a gateway, or an empty body. `credits` is what the
    answer says that it cost, None if it says nothing.
    """

    def __init__(self, message: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.was_sent = True
        self.is_foreign = False
        self.credits: int | None = None

    @property
    def was_billed(self) -> Literal["no", "unknown"]:
        """Whether AskNews has charged for the request: "no" where it certainly has not, else "unknown".

        Certain: it never arrived (no name, connection, TLS or token), something else answered (a gateway, a redirect,
        204), or AskNews answered with an error (inferred: the API's documents speak of credits for results alone).
        """
        if not self.was_sent or self.is_foreign:
            return "no"
        return "unknown" if self.status is None or 200 <= self.status < 300 else "no"


class RetryableError(AskNewsError):
    """The same request may succeed later.

    `retry_after` is how long AskNews asks to wait, in seconds (zero or more), None where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after = retry_after


class RequestTimedOut(RetryableError):
    """Connecting, sending, reading or waiting for a free connection took too long."""


class ConnectionFailed(RetryableError):
    """There was no connection, or it broke before the response was complete."""


class RateLimited(RetryableError):
    """429: too many requests in a time (code 429000) or too many at once (429001)."""


class ServiceFailed(RetryableError):
    """408, 409, 425 or 5xx: AskNews itself says that it failed, or that it cannot answer this just now."""


class GatewayAnswered(RetryableError):
    """An HTML page or a body that is not JSON, whatever its status: something in between answered."""


class PermanentError(AskNewsError):
    """The same request will fail again until somebody changes the configuration, the plan or this code."""


class MissingCredentials(PermanentError):
    """No usable credentials are configured; the message names the variables to set."""


class Misconfigured(PermanentError):
    """The environment names an address, a proxy or a certificate file that cannot be used; the message says which."""


class CredentialsRefused(PermanentError):
    """401: AskNews does not accept the credentials, not even with a renewed token."""


class AccessDenied(PermanentError):
    """403: the plan has no access to this. On a feature that a plan may lack, it means that the feature is off."""


class SubscriptionInactive(PermanentError):
    """403 with the code 403011: the subscription is inactive, so that nothing works until it is renewed."""


class PaymentRequired(PermanentError):
    """402: AskNews asks for payment. The plan's credits are spent, so that nothing works until there are more."""


class InvalidRequest(PermanentError):
    """AskNews refuses the request as it is: 400, 404, 422 and other 4xx."""


class UnexpectedResponse(PermanentError):
    """The response, or every record in it, is not what the contract says: the API has changed, or it is not AskNews."""


class ResponseTooLarge(PermanentError):
    """The response's body, packed or unpacked, is over the configured limit and was cut off."""
