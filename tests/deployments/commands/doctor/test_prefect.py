"""What the doctor finds of the Prefect server, and of what is on it."""

import socket
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.commands.doctor import prefect_server
from deployments.commands.doctor.checks import Finding, find
from deployments.commands.doctor.prefect_server import prefect_checks, settings_finding
from tests.deployments.commands.doctor.conftest import GOOD_SETTINGS, Installation, of


async def found(installation: Installation, **changes: Any) -> list[Finding]:
    return await find(prefect_checks(installation.settings(**changes)))


async def test_a_dead_server_is_one_line() -> None:
    with temporary_settings({PREFECT_API_URL: "http://somebody:hunter2@127.0.0.1:9/api"}):
        (finding,) = await find(prefect_checks(Installation.settings))  # pyright: ignore[reportArgumentType]  # not asked for
    assert finding.mark == "failure"
    assert finding.text.startswith("No answer at http://127.0.0.1:9/api (ConnectError")


async def test_a_server_that_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_server, "ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: address}):
            (finding,) = await find(prefect_checks(Installation.settings))  # pyright: ignore[reportArgumentType]  # not asked for
            assert await prefect_server.prefect_ahead() is None
    assert finding.text == f"No answer at {address} (TimeoutError), so what is on it was not looked at."


async def test_the_server_that_nothing_names_is_told() -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        (finding,) = await find(prefect_checks(Installation.settings))  # pyright: ignore[reportArgumentType]  # not asked for
    assert finding.mark == "failure"
    assert "PREFECT_API_URL is not set" in finding.text


async def test_a_server_whose_version_is_another_is_told(installation: Installation) -> None:
    installation.prefect.version = "3.4.1"
    ((mark, text),) = of(await found(installation), "Prefect")
    assert mark == "warning"
    assert text.startswith("3.4.1 answers at http://127.0.0.1:")
    assert "this pipeline is made for <3.10,>=3.8.8." in text


async def test_a_server_without_a_login_is_told(installation: Installation) -> None:
    assert of(await found(installation), "login") == [("well", "The server refuses whoever has no password.")]
    installation.password = None
    ((mark, text),) = of(await found(installation), "login")
    assert mark == "warning"
    assert "whoever reaches it can let the workers execute commands" in text


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"concurrency": {"lease_storage": "prefect.server.concurrency.lease_storage.memory"}}, "kept in memory"),
        ({"services": {"late_runs": {"after_seconds": 15.0}}}, "LATE_RUNS_AFTER_SECONDS is not PT60S"),
        ({"events": {"expired_bucket_buffer": "PT1M"}}, "EXPIRED_BUCKET_BUFFER is below P1D"),
    ],
)
def test_server_settings_that_matter_are_told(section: dict[str, Any], said: str) -> None:
    assert settings_finding(GOOD_SETTINGS).mark == "well"
    finding = settings_finding({"server": {**GOOD_SETTINGS["server"], **section}})
    assert finding.mark == "warning"
    assert said in finding.text


async def test_pools_without_workers_paused_or_missing_are_told(installation: Installation) -> None:
    pools = sorted(installation.prefect.work_pools)
    assert of(await found(installation), f"pool {pools[0]}") == [("well", "1 worker polling.")]
    installation.prefect.work_pools[pools[0]] = "NOT_READY"
    assert of(await found(installation), f"pool {pools[0]}") == [
        ("failure", "No worker polls it: pipeline_status, poll_news cannot run.")
    ]
    installation.prefect.work_pools[pools[0]] = "PAUSED"
    assert of(await found(installation), f"pool {pools[0]}") == [("warning", "It is paused: no run of it starts.")]
    (paused,) = [each for each in await found(installation) if each.subject == f"pool {pools[0]}"]
    # Without a name it would resume those of prefect.yaml alone.
    assert paused.to_do == f"Resume it: `vibecheck resume {pools[0]}`."
    del installation.prefect.work_pools[pools[0]]
    assert of(await found(installation), f"pool {pools[0]}") == [("failure", "The server has no such work pool.")]


async def test_deployments_without_planned_runs_are_told(installation: Installation) -> None:
    prefect = installation.prefect
    ((mark, text),) = of(await found(installation), "deployments")
    assert mark == "well"
    assert text.startswith("2 are monitored, with planned runs; next: ")
    prefect.runs.clear()
    prefect.deployments[1]["paused"] = True
    assert of(await found(installation), "deployments") == [
        ("failure", "No run is planned of pipeline_status/scheduled."),
        ("warning", "Paused: poll_news/scheduled."),
    ]
    prefect.deployments.clear()
    assert of(await found(installation), "deployments") == [
        ("failure", "None is tagged `monitored`: nothing is watched.")
    ]


async def test_an_answer_that_makes_no_sense_is_told_and_ends_no_other_check(installation: Installation) -> None:
    installation.prefect.deployments[0]["schedules"] = None
    findings = await found(installation)
    ((mark, text),) = of(findings, "deployments")
    assert mark == "failure"
    assert text.startswith("The Prefect server's answer to `read_deployments` is not as Prefect's API has it: ")
    assert {mark for mark, _text in of(findings, "Prefect") + of(findings, "login")} == {"well"}


async def test_automations_that_are_not_as_applied_are_told(installation: Installation) -> None:
    automations = installation.prefect.automations
    ((mark, text),) = of(await found(installation), "automations")
    assert (mark, text) == ("well", f"{len(automations)} are as applied.")
    on = next(each for each in automations if each["enabled"])
    on["enabled"] = False
    assert of(await found(installation), "automations") == [("warning", f"Switched off by somebody: {on['name']}.")]
    on["description"] = "edited"
    assert of(await found(installation), "automations") == [
        ("warning", f"Other than `apply` would make them from here: {on['name']}.")
    ]
    automations.clear()
    ((mark, text),) = of(await found(installation), "automations")
    assert mark == "failure"
    assert text.startswith("Missing: ")


async def test_a_question_that_fails_ends_no_other(installation: Installation) -> None:
    installation.prefect.is_broken_for = lambda path: path.startswith("/automations")
    findings = await found(installation)
    ((mark, text),) = of(findings, "automations")
    assert mark == "failure"
    assert text.startswith("This check broke: PrefectHTTPStatusError")
    assert of(findings, "deployments")[0][0] == "well"
