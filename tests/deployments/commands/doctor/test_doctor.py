"""`vibecheck doctor` as its user sees it."""

import json
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.__main__ import run
from deployments.commands.doctor import receivers
from deployments.commands.doctor.command import run_doctor
from deployments.sandbox import Fault
from flows.settings import load_settings
from tests.deployments.commands.doctor.conftest import Installation

Printed = pytest.CaptureFixture[str]


async def examine(it: Installation, printed: Printed, /, **changes: Any) -> tuple[int, dict[str, Any]]:
    """The exit code, and the document."""
    options = {"in_json": True, "send": False, "spend": False}
    options |= {name: changes.pop(name) for name in list(changes) if name in options}
    code = await run_doctor(settings_or_failure=it.settings(**changes), **options)
    return code, json.loads(printed.readouterr().out)


def texts(document: dict[str, Any], subject: str) -> list[str]:
    return [f"{each['mark']}: {each['text']}" for each in document["findings"] if each["subject"] == subject]


def searches(it: Installation) -> int:
    return [request.path for request in it.sandbox.requests].count("/v1/news/search")


async def test_all_is_well_and_free(installation: Installation, capsys: Printed) -> None:
    code, document = await examine(installation, capsys)
    assert [each for each in document["findings"] if each["mark"] != "well"] == []
    assert (code, document["result"]) == (0, "well")
    assert [request.path for request in installation.sandbox.requests] == ["/v1/profiles/me/limits"]
    assert installation.receiver.accepted == []


async def test_people_read_a_line_for_each(installation: Installation, capsys: Printed) -> None:
    assert await run_doctor(settings_or_failure=installation.settings()) == 0
    printed = capsys.readouterr().out
    assert "✓ database" in printed
    assert printed.rstrip().endswith("All is well.")


async def test_the_settings_are_named_and_not_shown(installation: Installation, capsys: Printed) -> None:
    await run_doctor(in_json=True, send=True, spend=True, settings_or_failure=installation.settings())
    printed = capsys.readouterr().out
    assert "ASKNEWS_API_KEY" in printed
    for secret in ("ank_the-key", installation.receiver.apprise_url, "of-the-server"):
        assert secret not in printed


async def test_a_warning_is_exit_code_1_and_a_failure_2(installation: Installation, capsys: Printed) -> None:
    installation.directory.chmod(0o755)
    code, document = await examine(installation, capsys)
    assert (code, document["result"]) == (1, "warning")
    assert f"Others on this machine can read {installation.directory}" in texts(document, "private files")[0]
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        code, document = await examine(installation, capsys)
    assert (code, document["result"]) == (2, "failure")


async def test_an_installation_that_tells_nobody_is_told(installation: Installation, capsys: Printed) -> None:
    _, document = await examine(installation, capsys, notification=None)
    assert texts(document, "receivers") == ["warning: None is set: nobody is told of problems."]


@pytest.mark.parametrize("is_container", [True, False])
async def test_a_container_without_a_name_for_all_is_told(
    is_container: bool, installation: Installation, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    mark = installation.directory / "mark"
    if is_container:
        mark.touch()
    monkeypatch.setattr(receivers, "CONTAINER_MARKS", (mark,))
    _, document = await examine(installation, capsys, installation=None)
    told = [text.split(",")[0] for text in texts(document, "installation")]
    assert told == ["warning: It is called as this container is"] * is_container


def test_settings_that_cannot_be_used_are_the_only_finding(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.setenv("VIBECHECK_LOG_LEVEL", "hunter2")
    load_settings.cache_clear()
    try:
        assert run(["doctor", "--json"]) == 2
    finally:
        load_settings.cache_clear()
    printed = capsys.readouterr().out
    assert json.loads(printed)["findings"][0]["text"].startswith("The settings are not usable:\n  VIBECHECK_LOG_LEVEL")
    assert "hunter2" not in printed


async def test_a_wrong_key_is_told(installation: Installation, capsys: Printed) -> None:
    code, document = await examine(installation, capsys, asknews_api_key="ank_other")
    assert code == 2
    assert texts(document, "AskNews") == [
        "failure: AskNews refused the credentials: check ASKNEWS_API_KEY (Unauthorized)."
    ]


async def test_half_a_login_is_told(installation: Installation, capsys: Printed) -> None:
    _, document = await examine(installation, capsys, asknews_api_key=None, asknews_client_id="me")
    assert texts(document, "AskNews") == [
        "failure: ASKNEWS_CLIENT_ID is set, but not ASKNEWS_CLIENT_SECRET: set it too."
    ]


async def test_the_plan_and_too_high_a_rate_are_told(installation: Installation, capsys: Printed) -> None:
    _, document = await examine(installation, capsys, requests_per_second=20)
    accepted, too_many = texts(document, "AskNews")
    assert accepted.endswith("accepts ASKNEWS_API_KEY: 5 requests a second, 10 at once, as on the plan Analyst.")
    assert too_many == "warning: Up to 20 requests a second are made, and the account allows 5."


async def test_one_credit_shows_the_page_cap(installation: Installation, capsys: Printed) -> None:
    _, document = await examine(installation, capsys, spend=True)
    assert texts(document, "news") == [
        "well: Of 101 articles that were asked for 10 came, so a page holds 10 at most; credits used: 1."
    ]
    assert texts(document, "news contract") == ["well: Every field is as documented."]
    assert searches(installation) == 1


async def test_the_credit_is_booked_in_the_budget(installation: Installation, capsys: Printed) -> None:
    await examine(installation, capsys, spend=True)
    _, document = await examine(installation, capsys, spend=True, monthly_credits=1)
    (told,) = texts(document, "news")
    assert told.startswith("warning: No request was made: The budget of 1 AskNews credits")
    assert searches(installation) == 1


async def test_without_the_database_no_credit_is_spent(installation: Installation, capsys: Printed) -> None:
    file = installation.directory / "none" / "vibecheck.db"
    _, document = await examine(installation, capsys, spend=True, database_url=f"sqlite+aiosqlite:///{file}")
    assert texts(document, "news") == [
        "failure: No request was made, as the database that counts the credits cannot be used."
    ]
    assert searches(installation) == 0


async def test_fields_that_are_not_as_documented_are_told(installation: Installation, capsys: Printed) -> None:
    installation.sandbox.add_faults(Fault(kind="odd_fields", path="/v1/news/*"))
    code, document = await examine(installation, capsys, spend=True)
    assert code == 1
    told = texts(document, "news contract")
    assert any(text.startswith("warning: An article's `page_rank` is another than documented") for text in told)


async def test_a_receiver_that_refuses_is_told(installation: Installation, capsys: Printed) -> None:
    installation.receiver.status = 500
    code, document = await examine(installation, capsys, send=True)
    assert code == 2
    ((told),) = texts(document, "receiver default")
    assert told.startswith("failure: ")
    assert "500" in told


async def test_a_test_alarm_and_its_recovery_are_sent(installation: Installation, capsys: Printed) -> None:
    code, document = await examine(installation, capsys, send=True)
    assert code == 0
    assert texts(document, "receiver default") == ["well: It took a test alarm and its recovery."]
    assert installation.receiver.subjects == [
        "VibeCheck staging: a test alarm, nothing is wrong",
        "VibeCheck staging: the test alarm is over",
    ]


async def test_an_address_that_cannot_be_one_is_told(installation: Installation, capsys: Printed) -> None:
    code, document = await examine(installation, capsys, notification_by_owner={"data": "nonsense"})
    assert code == 2
    assert texts(document, "receiver owner data")[0].startswith("failure: VIBECHECK_NOTIFICATION_BY_OWNER__DATA must")
