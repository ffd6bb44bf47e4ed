"""What one running sandbox consists of."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from deployments.sandbox.access import Access
from deployments.sandbox.connections import Connections
from deployments.sandbox.faults import FaultBoard
from deployments.sandbox.gate import NotedRequest
from deployments.sandbox.limits import Limits
from deployments.sandbox.search import Search
from deployments.sandbox.stories import StoryDesk


@dataclass(frozen=True)
class Sandbox:
    """The parts that the routes share. `clock` gives aware moments."""

    clock: Callable[[], datetime]
    access: Access
    limits: Limits
    faults: FaultBoard
    requests: deque[NotedRequest]
    connections: Connections
    search: Search
    stories: StoryDesk

    def now(self) -> int:
        """Return the sandbox's present, in Unix seconds."""
        return int(self.clock().timestamp())
