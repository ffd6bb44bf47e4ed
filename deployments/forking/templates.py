"""The worker's side of the templates: it starts them, asks them for runs, and replaces them.

There is one template for each environment that matters to imported code, and few of those at a time. A template is
replaced when its code has changed, when it does not answer, and when it has died; its runs go on, and what it can no
longer report, they say themselves.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from deployments.forking.forked_process import ForkedProcess
from deployments.forking.template import FORK, RETIRE

# A template needs 2 s to import everything, and one to two milliseconds to fork: what takes longer than this is stuck.
READY_SECONDS = 120.0
FORK_SECONDS = 10.0
# One that proves to be unfit is likely to be so again.
RETRY_SECONDS = 60.0
MOST_TEMPLATES = 3
STOP_SECONDS = 5.0
MESSAGE_BYTES = 65_536
# What a run may have of its own without needing a template of its own: Prefect reads these when the run starts, and not
# when it is imported.
_OF_THE_RUN = (
    "PREFECT__",
    "PREFECT_API_",
    "PREFECT_CLIENT_",
    "PREFECT_LOGGING_",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY",
)

logger = structlog.stdlib.get_logger()


class NotForked(Exception):
    """No template has forked the run; the text says why. It has not been started."""


def imported_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of a run's environment code may have looked at when it was imported."""
    return {name: value for name, value in environment.items() if not name.startswith(_OF_THE_RUN)}


class Template:
    """A template process, and the runs that it has forked."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        """`control` is the worker's end of the socket that `process` serves."""
        self.process = process
        self.is_serving = False
        self._is_retired = False
        self._control = control
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._runs: dict[int, ForkedProcess] = {}
        self._orphans: set[asyncio.Task[None]] = set()
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control, self._take_message)

    @classmethod
    async def start(cls, modules: Sequence[str], environment: Mapping[str, str], folder: Path) -> "Template":
        """Start a template in `folder`, and return it once it serves. Raises NotForked."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "deployments.forking.template", str(theirs.fileno()), *modules,
                stdin=asyncio.subprocess.DEVNULL,
                env=environment,
                cwd=folder,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C and signals for the worker's group are the worker's
            )  # fmt: skip
        template = cls(process, ours)
        try:
            await asyncio.wait_for(template._ready, READY_SECONDS)
        except BaseException as error:
            await template.stop()
            if isinstance(error, TimeoutError):
                raise NotForked(f"the template was not ready after {READY_SECONDS:.0f} s") from None
            raise
        return template

    async def fork(self) -> ForkedProcess:
        """Return a process that waits for its run. Raises NotForked, and then there is none."""
        reader, writer = await self._ask()
        process: ForkedProcess | None = None
        try:
            async with asyncio.timeout(FORK_SECONDS):
                line = await reader.readline()
            answer: dict[str, Any] = json.loads(line) if line else {"refused": "the template has ended"}
            if "process_id" in answer:
                process = ForkedProcess(answer["process_id"], reader, writer)
        except (OSError, TimeoutError) as error:
            raise NotForked(f"the template does not answer ({type(error).__name__})") from None
        finally:
            if process is None:
                writer.close()  # should there be one after all, it sees that nobody wants it
        if process is None:
            raise NotForked(answer["refused"])
        self._runs[process.pid] = process
        if not self.is_serving:
            self._watch_orphans()
        return process

    async def _ask(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                socket.send_fds(self._control, [FORK], [theirs.fileno()])
            except OSError as error:
                writer.close()
                raise NotForked(f"the template cannot be asked ({error})") from None
        return reader, writer

    def retire(self) -> None:
        """Ask for no further run. The process ends once those that it has forked have ended."""
        self.is_serving = False
        self._is_retired = True
        with suppress(OSError):
            self._control.send(RETIRE)

    async def stop(self) -> None:
        """End the process."""
        self._lose()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def _take_message(self) -> None:
        try:
            data = self._control.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if not self._is_retired:
                logger.warning("template_lost", explanation="Its runs go on. The next run gets a new template.")
            self._lose()
            return
        message: dict[str, Any] = json.loads(data)
        if "ended" in message:
            if (run := self._runs.pop(message["ended"], None)) is not None:
                run.set_ended(message["code"])
        elif "unfit" in message:
            self._is_retired = True
            self._ready.set_exception(NotForked(f"the template is unfit: {message['unfit']}"))
        elif "ready" in message:
            for module, problem in message["failed"].items():
                logger.warning("module_not_imported", module=module, problem=problem)
            self.is_serving = True
            self._ready.set_result(None)

    def _lose(self) -> None:
        if self._control.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self.is_serving = False
        if not self._ready.done():
            self._ready.set_exception(NotForked("the template ended before it was ready"))
        self._watch_orphans()

    def _watch_orphans(self) -> None:
        for run in self._runs.values():
            task = asyncio.create_task(run.watch_orphan())
            self._orphans.add(task)
            task.add_done_callback(self._orphans.discard)
        self._runs.clear()


@dataclass
class _Started:
    """A template that is starting, serves, has ended, or could not be started."""

    at: float
    task: "asyncio.Task[Template]"

    def is_wanted(self, now: float) -> bool:
        """Return whether a run should ask this one, and not start another."""
        if not self.task.done():
            return True
        if self.task.exception() is not None:
            return now < self.at + RETRY_SECONDS
        return self.task.result().is_serving


class Templates:
    """The templates of a worker, by environment."""

    def __init__(self, folder: Path, modules: Sequence[str]) -> None:
        """Templates import `modules`, with `folder` as their working directory."""
        self._folder = folder
        self._modules = modules
        # The one that was used last is at the end.
        self._by_environment: dict[tuple[tuple[str, str], ...], _Started] = {}
        self._retired: list[Template] = []

    async def fork(self, environment: Mapping[str, str]) -> ForkedProcess:
        """Return a process that waits for a run with `environment`. Raises NotForked.

        A template whose code has changed, or that does not answer, is replaced by a new one, once.
        """
        template = await self.prepare(environment)
        try:
            return await template.fork()
        except NotForked as error:
            logger.info("template_replaced", reason=str(error))
            template.retire()
        return await (await self.prepare(environment)).fork()

    async def prepare(self, environment: Mapping[str, str]) -> Template:
        """Return the template for runs with `environment`, once it serves; start it if there is none.

        Raises NotForked when it cannot be started, and again for a while after that.
        """
        imported = imported_environment(environment)
        key = tuple(sorted(imported.items()))
        now = asyncio.get_running_loop().time()
        started = self._by_environment.pop(key, None)
        if started is None or not started.is_wanted(now):
            if started is not None:
                self._retire(started)
            task = asyncio.create_task(Template.start(self._modules, imported, self._folder))
            started = _Started(now, task)
        self._by_environment[key] = started
        if len(self._by_environment) > MOST_TEMPLATES:
            self._retire(self._by_environment.pop(next(iter(self._by_environment))))
        return await asyncio.shield(started.task)

    async def close(self) -> None:
        """End all templates. Runs that are still going go on."""
        starting = {started.task for started in self._by_environment.values()}
        for started in self._by_environment.values():
            self._retire(started)
        self._by_environment.clear()
        if starting:
            await asyncio.wait(starting)
        for template in self._retired:
            await template.stop()

    def _retire(self, started: _Started) -> None:
        self._retired = [template for template in self._retired if template.process.returncode is None]
        if not started.task.done():
            started.task.cancel()
        elif not started.task.cancelled() and started.task.exception() is None:
            template = started.task.result()
            template.retire()
            self._retired.append(template)
