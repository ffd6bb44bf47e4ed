"""The same bound for what Apprise's plugins are answered: they leave the reading to requests, which has none."""

from io import BytesIO
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from flows.monitoring.alarms.answers import LONGEST_ANSWER

_send_at_any_length = HTTPAdapter.send


def bound_answers() -> None:
    """Set the bound for whatever this process asks by requests, as no plugin can be told how to ask."""
    HTTPAdapter.send = _send


def _send(
    self: HTTPAdapter, request: requests.PreparedRequest, stream: bool = False, *arguments: Any, **keywords: Any
) -> requests.Response:
    """As requests does it, but an answer that is wanted whole is read only if it is short enough."""
    response = _send_at_any_length(self, request, stream, *arguments, **keywords)
    if not stream:
        body = response.raw.read(LONGEST_ANSWER + 1, decode_content=True)
        response.raw.close()
        if len(body) > LONGEST_ANSWER:
            raise requests.ConnectionError("The receiver answered more than anybody reads.")
        response.raw = BytesIO(body)
    return response
