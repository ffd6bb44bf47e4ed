"""The sandbox as a process that can be killed: it comes back with the same news."""

import sys
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from deployments.sandbox import create_app
from deployments.sandbox.articles import Newsroom
from deployments.sandbox.content_files import Content
from deployments.sandbox.server import listen, make_server
from deployments.sandbox.stories import StoryDesk
from deployments.sandbox.timeline import Timeline


def run_sandbox(port: int, origin: int) -> None:
    """Serve on `port` news that began at `origin`, in Unix seconds: many, and a fifth of them is indexed late."""
    # In the middle of a second: the application takes some time to look at the clock, and finds the same origin.
    as_of = datetime.now(UTC) - timedelta(seconds=origin + 0.3)
    with patch("deployments.sandbox.app.StoryDesk", _few_articles):
        app = create_app(as_of=as_of, slot_seconds=4, late_share=0.2, late_by_seconds=20)
    with listen("127.0.0.1", port) as listener:
        make_server(app).run(sockets=[listener])


def _few_articles(content: Content, _timeline: Timeline, newsroom: Newsroom, origin: int) -> StoryDesk:
    """Stories about all the news that there is so often would take a minute to write."""
    return StoryDesk(content, Timeline(origin=origin), newsroom, origin)


if __name__ == "__main__":
    run_sandbox(int(sys.argv[1]), int(sys.argv[2]))
