"""A forked run, as its worker sees it: what Prefect's executor needs of a process."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

LAST_WORDS_SECONDS = 1.0


class ForkedProcess:
    """A process that the template has forked: its parent, and so the one that learns how it ends."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """`reader` and `writer` are the worker's end of the socket on which the process has said its `pid`.

        Raises ProcessLookupError if it has ended since.
        """
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._reader = reader
        self._writer = writer
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._code.result() if self._code.done() else None

    async def send(self, request: Mapping[str, object]) -> None:
        """Tell the process what to run. It starts nothing before."""
        self._writer.write(json.dumps(request).encode() + b"\n")
        await self._writer.drain()

    async def wait(self) -> int:
        """Return the exit code, once the process has ended."""
        return await asyncio.shield(self._code)

    def set_ended(self, code: int) -> None:
        """Note what the template has reported."""
        if not self._code.done():
            self._code.set_result(code)

    async def watch_orphan(self) -> None:
        """Find out how the process ends now that its template cannot say: from itself, or else it was killed."""
        if self._pidfd < 0:
            return
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)
        line = b""
        with suppress(TimeoutError, OSError):
            # A child of the run may hold the socket open: then nothing comes, and no end of file.
            line = await asyncio.wait_for(self._reader.readline(), LAST_WORDS_SECONDS)
        self.set_ended(json.loads(line)["code"] if line else -signal.SIGKILL)

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Give back the descriptors."""
        os.close(self._pidfd)
        self._pidfd = -1
        self._writer.close()
