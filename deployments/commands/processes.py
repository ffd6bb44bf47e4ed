"""Child processes that `up` starts and stops, each in a process group of its own."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deployments.commands.data_directory import LOCK, make_private_directory
from deployments.failures import CommandFailed


class AlreadyRunning(CommandFailed):
    """Another `up` uses the same data directory."""


class StartFailed(CommandFailed):
    """A process ended, or did not become ready in time; the text says where its log is."""


@dataclass
class Child:
    """A process that is started again should it end: its name for the user, and where its output goes."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    inherited_descriptors: tuple[int, ...]
    log: Path
    process: asyncio.subprocess.Process = field(init=False)

    async def start(self) -> None:
        """Start `python arguments…` with `environment` over this process's own."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **self.environment},
                # A group of its own: the terminal's Ctrl-C is for `up`, which lets running flows finish first.
                start_new_session=True,
                pass_fds=self.inherited_descriptors,
            )

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.returncode is None

    @property
    def how_it_ended(self) -> str:
        """How the process ended, which it must have: `was ended by SIGKILL`, `ended with exit code 1`."""
        code = self.process.returncode
        assert code is not None  # noqa: S101  # the caller has looked
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

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
    all: list[Child] = field(default_factory=list[Child])

    async def start(self, name: str, *arguments: str, environment: Mapping[str, str]) -> Child:
        """Start `python arguments…` with `environment` over this process's own; its output goes to `name`.log."""
        self.log_directory.mkdir(parents=True, exist_ok=True)
        log = self.log_directory / f"{name}.log"
        child = Child(name, arguments, environment, self.inherited_descriptors, log)
        await child.start()
        self.all.append(child)
        return child

    def kill(self) -> None:
        """End everything at once."""
        for child in reversed(self.all):
            child.kill()


async def wait_until(is_ready: Callable[[], Awaitable[bool]], child: Child, *, seconds: float) -> None:
    """Wait until `is_ready()` is true. Raises StartFailed when `child` ends before, or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        ready = await is_ready()
        if not child.is_running:  # then what answers at its port is another
            raise StartFailed(f"{child.name} {child.how_it_ended}. Its log: {child.log}")
        if ready:
            return
        if loop.time() > deadline:
            raise StartFailed(f"{child.name} was not ready after {seconds:.0f} s. Its log: {child.log}")
        await asyncio.sleep(0.1)


@contextmanager
def data_directory_lock(directory: Path) -> Generator[int]:
    """Hold `directory`'s lock, and return its descriptor for the child processes to inherit.

    The lock lasts as long as any process holds the descriptor: children that outlived a killed `up` are noticed, not
    joined by a second server on the same files. Raises AlreadyRunning, and StartFailed if nothing can be written there.
    """
    try:
        make_private_directory(directory)
        opened = (directory / LOCK).open("a+")
    except OSError as error:
        why = "It is a file, not a directory" if directory.is_file() else error.strerror
        raise StartFailed(f"Cannot write into {directory} (VIBECHECK_DATA_DIRECTORY): {why}.") from None
    with opened as lock:
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
