"""What hostile answers of AskNews cost: `python -m benchmarks.hostile [--rounds N] [--only WORDS] [--json FILE]`.

The answers of `benchmarks.hostile_answers`, fetched over the loopback by the client that the default settings make,
each in a process of its own; and so is, in each round, an ordinary page of its endpoint.

- memory: the most that the process has had, how much that is above the ordinary page's, and its ratio to that; the most
  of all rounds.
- CPU: processor seconds from the request to the page or the error, the median, and as a ratio to the ordinary page's.

A process that wants more than `MOST_ADDRESSES` of address space ends with a MemoryError, and the machine goes on.
"""

import argparse
import asyncio
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypedDict

import structlog
from pydantic import SecretStr

from benchmarks.processes import peak_mb
from benchmarks.sides import keep, ratio, say
from flows.asknews import AskNewsError
from flows.asknews.from_settings import client_from_settings
from flows.settings import Settings

if TYPE_CHECKING:
    from tests.asknews.fakes import Respond

MOST_ADDRESSES = 6 * 2**30
# What drips is given up after four of these.
READ_TIMEOUT_SECONDS = 5.0


class Fetched(TypedDict):
    """What a process had in memory at the most (MB), the CPU seconds that it took to fetch, and how that ended."""

    peak: float
    cpu: float
    ended: str


def main() -> None:
    """Measure, and print one line for each answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only the answers whose names hold these words")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--fetch", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fetch:
        say(json.dumps(asyncio.run(fetch(*arguments.fetch))))
        return
    # Not in the processes that fetch, so that their memory is the client's.
    from benchmarks.hostile_answers import ANSWERS

    found: dict[str, Any] = {}
    for endpoint, answers in ANSWERS.items():
        ordinary, *hostile = answers
        chosen = [ordinary, *(name for name in hostile if arguments.only in name)]
        rounds = [{name: fetched(endpoint, answers[name]()) for name in chosen} for _ in range(arguments.rounds)]
        found[endpoint] = {name: told(f"{endpoint}: {name}", ordinary, name, rounds) for name in chosen}
    keep(arguments.json, "hostile", [], found)


def told(shown: str, ordinary: str, name: str, rounds: Sequence[Mapping[str, Fetched]]) -> dict[str, Any]:
    """Print what the answer `name` cost in each round beside the `ordinary` page; return it as well."""
    peaks, usual_peaks = ([one[side]["peak"] for one in rounds] for side in (name, ordinary))
    seconds, usual_seconds = ([one[side]["cpu"] for one in rounds] for side in (name, ordinary))
    above = max(peak - usual for peak, usual in zip(peaks, usual_peaks, strict=True))
    middle, least, most = ratio(seconds, usual_seconds)
    ended = rounds[0][name]["ended"]
    say(
        f"{shown:46} {max(peaks):7.1f} MB, {above:7.1f} more, {max(ratio(peaks, usual_peaks)):5.2f} x; "
        f"{median(seconds):7.3f} CPU-s, {middle:5.0f} x ({least:.0f} to {most:.0f}); {ended}"
    )
    return {"peak": peaks, "cpu": seconds, "ended": ended}


def fetched(endpoint: str, respond: "Respond") -> Fetched:
    """What a new process says of the answer that it fetched. Raises RuntimeError if it says nothing."""

    from tests.asknews.fakes import raw_server

    async def serve() -> bytes:
        async with raw_server(respond) as address:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.hostile", "--fetch", endpoint, address, stdout=asyncio.subprocess.PIPE
            )
            return (await process.communicate())[0]

    if not (said := asyncio.run(serve())):
        raise RuntimeError("The process ended without a word: its last ones are above.")
    return json.loads(said)


async def fetch(endpoint: str, address: str) -> Fetched:
    """Be the process: fetch one page, and return what it cost and how it ended."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]  # pydantic-settings
        asknews_api_url=address,
        asknews_api_key=SecretStr("ank_benchmark"),
        request_timeout_seconds=READ_TIMEOUT_SECONDS,
    )
    end = datetime.now(UTC)
    start = end - timedelta(hours=1)
    async with client_from_settings(settings) as client:
        began = time.process_time()
        try:
            if endpoint == "news":
                page = await client.search_news(names=["Claude"], start=start, end=end, page_size=10)
            else:
                page = await client.list_stories(query="Claude", start=start, end=end, page_size=10, reddit_threads=3)
        except (AskNewsError, MemoryError) as error:
            ended = type(error).__name__
        else:
            ended = f"a page of {len(page.records):,} and {len(page.rejects):,} rejects"
        used = time.process_time() - began
    return {"peak": peak_mb(os.getpid()), "cpu": used, "ended": ended}


if __name__ == "__main__":
    main()
