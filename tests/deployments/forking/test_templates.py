"""Templates: what they refuse to be, when they are replaced, and that they lose no run. No Prefect server is needed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deployments.forking.forked_process import ForkedProcess
from deployments.forking.templates import MOST_TEMPLATES, NotForked, Template, Templates

PATIENCE_SECONDS = 60.0
# No flow run has this id: the engine says so, and ends with exit code 1.
RUN = {"environment": {**os.environ, "PREFECT__FLOW_RUN_ID": "none"}, "is_silent": True}


class Project:
    """A folder with modules, and the templates that import the one called `job`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.templates = Templates(folder, ["job"])
        self.environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

    def write(self, code: str) -> None:
        (self.folder / "job.py").write_text(code)

    async def fork(self, **environment: str) -> ForkedProcess:
        return await self.templates.fork({**self.environment, **environment})

    async def prepare(self, **environment: str) -> Template:
        return await self.templates.prepare({**self.environment, **environment})


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    project = Project(tmp_path)
    project.write("")
    yield project
    await project.templates.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # neither a file nor a process of somebody else's can be awaited
            await asyncio.sleep(0.01)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def open_files(pid: int | None = None) -> int:
    return len(list(Path(f"/proc/{pid or 'self'}/fd").iterdir()))


async def test_a_forked_process_is_its_own_session(project: Project) -> None:
    process = await project.fork()
    assert os.getsid(process.pid) == process.pid
    assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    process.close()


async def test_a_run_ends_with_the_engines_exit_code(project: Project) -> None:
    process = await project.fork()
    await process.send(RUN)
    assert await process.wait() == 1
    process.close()


async def test_a_process_that_nobody_wants_ends_by_itself(project: Project) -> None:
    process = await project.fork()
    process.close()
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()", "2 threads"),
        ("import socket\nheld = socket.socket()", "socket:"),
        ("import sqlite3\nheld = sqlite3.connect('held.db')", "held.db"),
        ("import sqlite3\nheld = sqlite3.connect(':memory:')", "a Connection"),
        ("import asyncio\nheld = asyncio.new_event_loop()", "eventpoll"),
    ],
    ids=["thread", "socket", "database file", "database in memory", "event loop"],
)
async def test_what_no_child_may_inherit_makes_a_template_unfit(project: Project, code: str, reason: str) -> None:
    project.write(code)
    with pytest.raises(NotForked, match=reason):
        await project.fork()
    # Asked again at once, it answers from memory.
    with pytest.raises(NotForked, match=reason):
        await asyncio.wait_for(project.fork(), 0.5)


async def test_a_module_that_cannot_be_imported_is_named(project: Project) -> None:
    project.write("1 / 0")
    with capture_logs() as events:
        process = await project.fork()
    process.close()
    assert [(event["module"], event["problem"]) for event in events if event["event"] == "module_not_imported"] == [
        ("job", "ZeroDivisionError: division by zero")
    ]


async def test_a_template_that_ends_while_it_imports_is_no_template(project: Project) -> None:
    project.write("import os\nos._exit(3)")
    with pytest.raises(NotForked, match="ended before it was ready"):
        await project.fork()


async def test_changed_code_gets_a_new_template(project: Project) -> None:
    before = await project.fork()
    project.write("changed = True")
    with capture_logs() as events:
        after = await project.fork()
    assert parent_of(after.pid) != parent_of(before.pid)
    (replaced,) = [event for event in events if event["event"] == "template_replaced"]
    assert replaced["reason"] == f"{project.folder / 'job.py'} has changed"
    # The old one stays for as long as it has a child to report.
    before.kill()
    assert await before.wait() == -signal.SIGKILL
    before.close()
    after.close()


async def test_a_retired_template_ends_with_its_last_child(project: Project) -> None:
    template = await project.prepare()
    process = await project.fork()
    template.retire()
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    assert await asyncio.wait_for(template.process.wait(), PATIENCE_SECONDS) == 0
    process.close()


async def test_the_death_of_the_template_hurts_no_child(project: Project) -> None:
    template = await project.prepare()
    killed, ending = await project.fork(), await project.fork()
    with capture_logs() as events:
        template.process.kill()
        await until(lambda: any(event["event"] == "template_lost" for event in events))

    await ending.send(RUN)
    killed.kill()
    assert await ending.wait() == 1
    assert await killed.wait() == -signal.SIGKILL
    following = await project.fork()
    assert parent_of(following.pid) != template.process.pid
    for process in (killed, ending, following):
        process.close()


async def test_a_template_that_does_not_answer_is_replaced(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    template = await project.prepare()
    monkeypatch.setattr("deployments.forking.templates.FORK_SECONDS", 2.0)
    template.process.send_signal(signal.SIGSTOP)
    with capture_logs() as events:
        try:
            process = await project.fork()
        finally:
            template.process.send_signal(signal.SIGCONT)
    assert parent_of(process.pid) != template.process.pid
    assert "does not answer" in events[0]["reason"]
    # What the stopped template forks after all sees that nobody waits for it.
    assert await asyncio.wait_for(template.process.wait(), PATIENCE_SECONDS) == 0
    process.close()


async def test_the_death_of_the_worker_ends_the_template(project: Project) -> None:
    template = await project.prepare()
    await template.stop()
    assert template.process.returncode == 0


async def test_another_environment_gets_another_template(project: Project) -> None:
    process = await project.fork()
    same = await project.fork(PREFECT_API_URL="http://127.0.0.1:1/api", PREFECT__FLOW_RUN_ID="one")
    other = await project.fork(OTHER="1")
    assert parent_of(same.pid) == parent_of(process.pid)
    assert parent_of(other.pid) != parent_of(process.pid)
    for one in (process, same, other):
        one.close()


async def test_few_templates_are_kept_at_a_time(project: Project) -> None:
    templates = [await project.prepare(OTHER=str(number)) for number in range(MOST_TEMPLATES + 1)]
    assert await asyncio.wait_for(templates[0].process.wait(), PATIENCE_SECONDS) == 0
    assert [template.is_serving for template in templates] == [False, *([True] * MOST_TEMPLATES)]


async def test_forks_leave_no_descriptor_behind(project: Project) -> None:
    template = await project.prepare()

    async def fork_and_end() -> None:
        process = await project.fork()
        process.kill()
        await process.wait()
        process.close()

    await fork_and_end()
    before = open_files(), open_files(template.process.pid)
    for _ in range(20):
        await fork_and_end()
    await until(lambda: (open_files(), open_files(template.process.pid)) == before)
