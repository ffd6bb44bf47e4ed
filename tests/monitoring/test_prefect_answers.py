"""What is said of an answer that is not one of Prefect's API, and what is not believed."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from flows.monitoring.jobs.deployments import deployment_pages
from flows.monitoring.paging import PAGE
from flows.monitoring.prefect_answers import LONGEST_PROBLEM, UnexpectedAnswer, reading_answers
from flows.monitoring.prefect_runs import JobRuns, read_runs, server_now
from tests.support.fake_prefect import START, FakePrefect


def client_of(answer: Any, **headers: str) -> PrefectClient:
    """A client of a server that answers everything alike: bytes as they are, all else as JSON."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/csrf-token"):
            return httpx.Response(404)
        content = answer if isinstance(answer, bytes) else json.dumps(answer)
        return httpx.Response(200, headers=headers, content=content)

    transport = httpx.MockTransport(respond)
    return PrefectClient("http://prefect.test/api", httpx_settings={"transport": transport})


async def said_of(answer: Any) -> str:
    with pytest.raises(UnexpectedAnswer) as raised, reading_answers():
        async with client_of(answer) as client:
            await client.read_work_pool("vibecheck")
    return str(raised.value)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"<html>Sign in</html>", "not JSON"),
        (b'{"name": "vibe', "not JSON"),
        (b"[" * 100_000, "RecursionError"),
        ({"type": "process"}, "WorkPool: name: Field required"),
        (None, "WorkPool: Input should be a valid dictionary or object to extract fields from"),
    ],
)
async def test_what_was_asked_and_what_is_wrong_is_said(answer: Any, problem: str) -> None:
    said = await said_of(answer)
    assert said.startswith(f"The Prefect server's answer to `read_work_pool` is not as Prefect's API has it: {problem}")
    assert "PREFECT_API_URL" in said


async def test_what_is_said_quotes_no_value_and_has_an_end() -> None:
    said = await said_of({"name": {"password": "hunter2"}, "type": ["hunter2"], "base_job_template": {"\0" * 9_999: 5}})
    assert "hunter2" not in said
    assert len(said) < LONGEST_PROBLEM + 300


async def test_an_error_of_ours_stays_what_it_is() -> None:
    async def read_and_stumble() -> None:
        with reading_answers():
            async with FakePrefect().client() as client:
                await server_now(client)
                raise ValueError("ours")

    with pytest.raises(ValueError, match=r"^ours$"):
        await read_and_stumble()


async def test_a_date_that_cannot_be_read_is_said() -> None:
    async with client_of(0, date="yesterday") as client:
        with pytest.raises(UnexpectedAnswer, match="Date"):
            await server_now(client)


async def test_pages_that_repeat_are_not_read_for_ever() -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    run = prefect.runs[str(prefect.run("poll", START))]
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(int=number) for number in range(PAGE)]))
    async with client_of([run | {"id": str(UUID(int=number))} for number in range(PAGE)]) as client:
        with pytest.raises(UnexpectedAnswer, match="repeats"):
            await read_runs(client, wanted)
    async with client_of([deployment | {"id": str(UUID(int=number))} for number in range(PAGE)]) as client:
        with pytest.raises(UnexpectedAnswer, match="repeats"):
            [page async for page in deployment_pages(client)]


@pytest.mark.parametrize(
    "change",
    [
        {"end_time": None},
        {"end_time": "1970-01-01T00:00:00+00:00"},
        {"run_count": -1},
        {"run_count": 10**30},
        {"state": {"type": "COMPLETED", "timestamp": "2026-11-23T12:00:20"}},
        {"state": {"type": "COMPLETED"}},
        {"deployment_id": "0b5a1f6e-2f3b-4a53-9f0c-5f5b1c0f8a11"},
    ],
)
async def test_a_run_that_cannot_be_what_was_asked_for_is_refused(change: dict[str, Any]) -> None:
    prefect = FakePrefect()
    deployment = prefect.deploy("poll")
    run = prefect.runs[str(prefect.run("poll", START))]
    jobs = {UUID(deployment["id"]): "poll"}
    async with client_of([run]) as client:
        assert len(await JobRuns(client, jobs).ended(START, prefect.now.replace(minute=1))) == 1
    async with client_of([run | change]) as client:
        with pytest.raises(UnexpectedAnswer):
            await JobRuns(client, jobs).ended(START, prefect.now.replace(minute=1))


async def test_a_number_of_runs_has_to_be_a_number() -> None:
    async with client_of("many") as client:
        with pytest.raises(UnexpectedAnswer, match="not a number"):
            await JobRuns(client, {UUID(int=1): "poll"}).count_ended(START, START)
