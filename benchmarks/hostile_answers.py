"""The answers of `benchmarks.hostile`: each is made only when it is wanted, as most of them are large.

"As many as fit" is as many as the default of VIBECHECK_MAX_RESPONSE_BYTES lets in.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from flows.settings import Settings
from tests.asknews.fakes import Respond, article, as_json, http_response, news, sends, story

Make = Callable[[], Respond]

# What is around the pieces has room in the last thousands.
ROOM: int = Settings.model_fields["max_response_bytes"].default - 2_000
GZIP = "Content-Encoding: gzip"
BEGINS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
PLACE = "PLACE"


def _answer(page: object, piece: Callable[[], str], *, status: str = "200 OK") -> Make:
    """`page` as JSON, with `piece` for the string PLACE in it."""
    begin, _, end = json.dumps(page).partition(f'"{PLACE}"')
    return lambda: sends(http_response((begin + piece() + end).encode(), status=status))


def _text(length: int, *, begin: str = "") -> Callable[[], str]:
    return lambda: f'"{begin}{"x" * length}"'


def _deep(levels: int) -> Callable[[], str]:
    return lambda: "[" * levels + "]" * levels


def _many(piece: str, times: int | None = None, *, last: str | None = None) -> Callable[[], str]:
    """So many pieces, or as many as fit; `last` for the last one."""
    number = times or ROOM // (len(piece) + 1)
    return lambda: ",".join([*[piece] * (number - 1), last or piece])


def _numbered(piece: Callable[[int], str]) -> Callable[[], str]:
    """As many pieces as fit, of which none is like another."""
    length = len(piece(ROOM // len(piece(0)))) + 1
    return lambda: ",".join(map(piece, range(ROOM // length)))


def _endless(head: bytes, piece: Callable[[], bytes], *, seconds: float = 0.0) -> Make:
    async def respond(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece())
            await writer.drain()
            await asyncio.sleep(seconds)

    return lambda: respond


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _endless_and_packed() -> Respond:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    blanks = b" " * 10_000_000

    def piece() -> bytes:
        return _chunk(packer.compress(blanks) + packer.flush(zlib.Z_SYNC_FLUSH))

    return _endless(BEGINS + GZIP.encode() + b"\r\n\r\n", piece)()


def _bomb(*headers: str) -> Make:
    return lambda: sends(http_response(gzip.compress(b" " * 200_000_000), *headers))


def _good_article(number: int) -> str:
    return json.dumps(article(article_id=str(UUID(int=number))))


def _points() -> Respond:
    number = ROOM // len("0, 1234567, ")
    times = [*range(number)]
    return sends(http_response(as_json(_of_story(sentiment=[0] * number, sentiment_timestamps=times))))


def _of_story(**fields: Any) -> dict[str, Any]:
    return {"stories": [story(**fields)]}


# The first of each is the ordinary page.
ANSWERS: dict[str, dict[str, Make]] = {
    "news": {
        "ten articles": lambda: sends(http_response(as_json(news(*[article()] * 10)))),
        "a field of 10 MB": _answer(news(article(title=PLACE)), _text(10_000_000)),
        "a field of 31 MB with one emoji": _answer(news(article(title=PLACE)), _text(31_000_000, begin="\U0001f600")),
        "100,000 empty items": _answer(news(PLACE), _many("{}", 100_000)),
        "100,000 items, one of them good": _answer(news(PLACE), _many("{}", 100_000, last=json.dumps(article()))),
        "good articles, as many as fit": _answer(news(PLACE), _numbered(_good_article)),
        "lists in an article, as many as fit": _answer(news(article(extra=[PLACE])), _many("[]")),
        "fields of an article, as many as fit": _answer(
            news(article(extra=PLACE)), lambda: "0," + _numbered(lambda number: f'"{number}":0')()
        ),
        "key points, as many as fit": _answer(news(article(key_points=[PLACE])), _many('"x"')),
        "lists 50,000 deep": _answer(PLACE, _deep(50_000)),
        "an item 50,000 deep": _answer(news(PLACE), _deep(50_000)),
        "lists as deep as fits": _answer(PLACE, _deep(ROOM // 2)),
        "a gzip bomb of 200 MB": _bomb(GZIP),
        "a gzip bomb that is packed twice": _bomb("Content-Encoding: gzip, gzip"),
        "endless": _endless(BEGINS + b"\r\n", partial(_chunk, b" " * 65_536)),
        "endless and packed": _endless_and_packed,
        "endless, a byte at a time": _endless(BEGINS + b"\r\n", partial(_chunk, b" "), seconds=0.05),
        "endless headers": _endless(BEGINS, lambda: b"X: y\r\n" * 1_000),
        "JSON of 32 MB that breaks off": _answer(PLACE, lambda: "[" + _many("{}")()),
        "a number of 5,000 digits": _answer(news(PLACE), lambda: "9" * 5_000),
        "a number of 31 million digits": _answer(news(PLACE), lambda: "9" * 31_000_000),
        "numbers of 40 digits, as many as fit": _answer(news(article(extra=[PLACE])), _many("9" * 40)),
        "500 with HTML of 31 MB": _answer(PLACE, lambda: "<" + "x" * 31_000_000, status="500 No"),
        "400 with a reason of 31 MB": _answer({"detail": PLACE}, _text(31_000_000), status="400 No"),
        "422 with as many reasons as fit": _answer({"detail": [PLACE]}, _many('{"loc":[],"msg":""}'), status="422 No"),
    },
    "stories": {
        "ten stories": lambda: sends(http_response(as_json({"stories": [story()] * 10}))),
        "100,000 empty items": _answer({"stories": [PLACE]}, _many("{}", 100_000)),
        "100,000 updates of a story": _answer(_of_story(updates=[PLACE]), _many("{}", 100_000)),
        "articles of a story, as many as fit": _answer(
            _of_story(updates=[{"article_ids": [PLACE]}]), _numbered(lambda number: f'"{UUID(int=number)}"')
        ),
        "points of a story, as many as fit": _points,
        "topics of a story, as many as fit": _answer(_of_story(topics=[PLACE]), _many('"x"')),
    },
}
