"""What receivers answer, read as far as anybody needs it: one that answers without an end would fill the memory."""

from typing import Any

import httpx

LONGEST_ANSWER = 1_000_000


class AnswerTooLong(Exception):
    """A receiver answered more than anybody reads."""


async def post(client: httpx.AsyncClient, url: str, **content: Any) -> httpx.Response:
    """POST `content`, and return status and body of the answer. Raises AnswerTooLong, and httpx.HTTPError."""
    body = bytearray()
    async with client.stream("POST", url, **content) as answer:
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > LONGEST_ANSWER:
                raise AnswerTooLong
        return httpx.Response(answer.status_code, content=bytes(body), request=answer.request)
