"""Child processes that `up` starts, watches and stops, each in a process group of its own."""

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deployments.commands.access import LOCK, make_private_directory
from deployments.failures import CommandFailed


class AlreadyRunning(CommandFailed):
    """Another `up` uses the same data directory."""


class StartFailed(CommandFailed):
    """A process ended, or did not become ready in time; the text says where its log is."""


@dataclass
class Child:
    """A started process, its name for the user, and where its output goes."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.returncode is None

    def kill(self) -> None:
        """End the process and whatever is left of its children at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def signal_process(self, number: signal.Signals) -> None:
        """Send a signal to the process alone: a worker's or server's children are its own to stop."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def stop(self, *, wait_seconds: float) -> None:
        """Ask the process to end, and end it after `wait_seconds`."""
        if self.is_running:
            self.signal_process(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), wait_seconds)
        self.kill()
        await self.process.wait()


@dataclass
class Children:
    """The processes of one `up`, in the order in which they were started."""

    log_directory: Path
    inherited_descriptors: tuple[int, ...] = ()
    running: list[Child] = field(default_factory=list[Child])

    async def start(self, name: str, *arguments: str, environment: Mapping[str, str]) -> Child:
        """Start `python arguments…` with `environment` over this process's own; its output goes to `name`.log."""
        self.log_directory.mkdir(parents=True, exist_ok=True)
        log = self.log_directory / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **environment},
                # A group of its own: the terminal's Ctrl-C is for `up`, which lets running flows finish first.
                start_new_session=True,
                pass_fds=self.inherited_descriptors,
            )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def ended(self) -> list[Child]:
        """The processes that have ended although nobody stopped them."""
        return [child for child in self.running if not child.is_running]

    def kill(self) -> None:
        """End everything at once."""
        for child in reversed(self.running):
            child.kill()


async def wait_until(is_ready: Callable[[], "asyncio.Future[bool] | bool"], child: Child, *, seconds: float) -> None:
    """Wait until `is_ready()` is true. Raises StartFailed when `child` ends before, or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        answer = is_ready()
        if answer if isinstance(answer, bool) else await answer:
            return
        if not child.is_running:
            raise StartFailed(f"{child.name} ended with exit code {child.process.returncode}. Its log: {child.log}")
        if loop.time() > deadline:
            raise StartFailed(f"{child.name} was not ready after {seconds:.0f} s. Its log: {child.log}")
        await asyncio.sleep(0.2)


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nothing listens there on 127.0.0.1, else some free port."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError("No free port on 127.0.0.1.")


@contextmanager
def data_directory_lock(directory: Path) -> Generator[int]:
    """Hold `directory`'s lock, and return its descriptor for the child processes to inherit.

    The lock lasts as long as any process holds the descriptor: children that outlived a killed `up` are noticed, not
    joined by a second server on the same files. Raises AlreadyRunning.
    """
    make_private_directory(directory)
    with (directory / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(
                f"`vibecheck up` is running already on {directory}, as process {lock.read().strip() or '(not noted)'}: "
                "stop it there with Ctrl-C. If it was killed, its children go on: "
                f"`kill $(lsof -t {directory / LOCK})` ends them."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()
