"""Each kind of receiver, as its own API sees our messages: counted, and read."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apprise import Apprise
from pydantic import SecretStr

from flows.monitoring.alarms import delivery
from flows.monitoring.alarms.delivery import NotDelivered, deliver
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.messages import Kind, Message, Notice
from flows.monitoring.alarms.notices import paragraphs_of
from flows.monitoring.alarms.receivers import InvalidReceiver, Receiver, plugins_of_address, plugins_of_block
from tests.support.internet import Answer, Internet, Request, running_internet
from tests.support.mail import running_mail_server
from tests.support.receiver import running_receiver

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=UTC)
PAGERDUTY = "pagerduty://integrationkey@apikey"
OPSGENIE = "opsgenie://genie-key-1/#data?tags=prod,etl"
JIRA = "jira://genie-key-1"
SPLUNK = "splunk://route@rest-key-1"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
TEAMS = "https://prod-1.westeurope.logic.azure.com:443/workflows/643e69f83c8944/triggers/manual/paths/invoke?sig=KODuebWbDGYFr0z0eu"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
NTFY = "ntfys://topic"


def scheme(address: str) -> str:
    return "teams" if address == TEAMS else address.split(":", maxsplit=1)[0]


def reply(request: Request) -> Answer:
    """What each service says when all is well."""
    host = request.url.split("/")[2]
    match host:
        case "events.pagerduty.com":
            return Answer(202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": "k"}))
        case "api.opsgenie.com" | "api.atlassian.com":
            return Answer(202, json.dumps({"result": "Request will be processed", "took": 0.1, "requestId": "r"}))
        case "alert.victorops.com":
            return Answer(200, json.dumps({"result": "success", "entity_id": "e"}))
        case "api.telegram.org":
            return Answer(200, json.dumps({"ok": True, "result": {"message_id": 1}}))
        case "ntfy.sh":
            return Answer(200, json.dumps({"id": "1", "event": "message"}))
        case "hooks.slack.com":
            return Answer(200, "ok")
        case "discord.com":
            return Answer(204)
        case _:
            return Answer(202)


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    with running_internet(tmp_path, reply) as internet:
        for name, value in internet.environment.items():
            monkeypatch.setenv(name, value)
        yield internet


def notice(kind: Kind, name: str = "poll_news", **changes: Any) -> Notice:
    values: dict[str, Any] = {
        "job_name": name,
        "kind": kind,
        "headline": f"{name} has been failing since 11:50 UTC",
        "text": f"{name} is failing.\nLast error: It broke.",
        "incident": f"vibecheck:{name}:2026-09-07T11:50:00+00:00",
        "since": NOW - timedelta(minutes=10),
        "link": "http://prefect/runs/flow-run/1",
    }
    return Notice(**values | changes)


def message(*notices: Notice) -> Message:
    paragraphs = paragraphs_of(notices, NOW, Links(deployments={}))
    closing = "1 of 3 jobs is not healthy."
    return Message(prefix="VibeCheck staging", paragraphs=paragraphs, closing=closing, notices=notices)


def receiver(address: str) -> Receiver:
    return Receiver("default", "VIBECHECK_NOTIFICATION", SecretStr(address))


async def send(address: str, *notices: Notice) -> None:
    await deliver(receiver(address), message(*notices), source="staging")


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "address",
    [PAGERDUTY, OPSGENIE, JIRA, SPLUNK, SLACK, TEAMS, DISCORD, TELEGRAM, NTFY],
    ids=scheme,
)
async def test_every_kind_of_message_asks_every_receiver_once(internet: Internet, address: str, kind: Kind) -> None:
    await send(address, notice(kind))
    (request,) = internet.requests
    said = request.body + request.url
    assert "poll_news" in said.replace("\\_", "_")
    assert "staging" in said


async def test_pagerduty_has_one_incident_updated_and_resolved(internet: Internet) -> None:
    for kind in (Kind.ALARM, Kind.REMINDER, Kind.RECOVERY):
        await send(PAGERDUTY, notice(kind))
    asked = [request.json for request in internet.requests]
    assert {request.url for request in internet.requests} == {"https://events.pagerduty.com/v2/enqueue"}
    assert [each["event_action"] for each in asked] == ["trigger", "trigger", "resolve"]
    assert {each["dedup_key"] for each in asked} == {"vibecheck:poll_news:2026-09-07T11:50:00+00:00"}
    assert {each["routing_key"] for each in asked} == {"integrationkey"}
    assert asked[0]["payload"]["severity"] == "critical"
    assert asked[0]["payload"]["summary"] == "VibeCheck staging: poll_news has been failing since 11:50 UTC"
    assert "It broke." in asked[0]["payload"]["custom_details"]["message"]
    assert asked[0]["links"][0]["href"] == "http://prefect/runs/flow-run/1"


async def test_an_earlier_incident_is_closed_with_the_next_alarm(internet: Internet) -> None:
    await send(PAGERDUTY, notice(Kind.ALARM, closes=["vibecheck:poll_news:before"]))
    asked = [request.json for request in internet.requests]
    assert sorted((each["event_action"], each["dedup_key"]) for each in asked) == [
        ("resolve", "vibecheck:poll_news:before"),
        ("trigger", "vibecheck:poll_news:2026-09-07T11:50:00+00:00"),
    ]


async def test_a_warning_is_mild_where_the_receiver_knows_that(internet: Internet) -> None:
    await send(PAGERDUTY, notice(Kind.WARNING))
    await send(SPLUNK, notice(Kind.WARNING))
    pagerduty, splunk = (request.json for request in internet.requests)
    assert (pagerduty["payload"]["severity"], splunk["message_type"]) == ("warning", "WARNING")


@pytest.mark.parametrize(
    ("address", "api"),
    [
        (OPSGENIE, "https://api.opsgenie.com/v2/alerts"),
        (JIRA, "https://api.atlassian.com/jsm/ops/integration/v2/alerts"),
    ],
    ids=["opsgenie", "jira"],
)
async def test_an_alert_is_made_counted_and_closed_by_its_alias(internet: Internet, address: str, api: str) -> None:
    for kind in (Kind.ALARM, Kind.REMINDER, Kind.RECOVERY):
        await send(address, notice(kind))
    made, counted, closed = internet.requests
    assert made.url == counted.url == api
    assert made.json["alias"] == counted.json["alias"] == "vibecheck:poll_news:2026-09-07T11:50:00+00:00"
    assert closed.url == (f"{api}/vibecheck%3Apoll_news%3A2026-09-07T11%3A50%3A00%2B00%3A00/close?identifierType=alias")
    assert made.headers["authorization"] == "GenieKey genie-key-1"


async def test_opsgenies_own_options_are_kept(internet: Internet) -> None:
    await send(OPSGENIE, notice(Kind.ALARM))
    (request,) = internet.requests
    assert request.json["responders"] == [{"type": "team", "name": "data"}]
    assert sorted(request.json["tags"]) == ["etl", "prod"]


async def test_splunk_on_call_pages_and_recovers_each_job_by_itself(internet: Internet) -> None:
    await send(SPLUNK, notice(Kind.ALARM), notice(Kind.ALARM, "poll_stories"))
    await send(SPLUNK, notice(Kind.RECOVERY))
    assert sorted((each.json["message_type"], each.json["entity_id"][:17]) for each in internet.requests) == [
        ("CRITICAL", "vibecheck:poll_ne"),
        ("CRITICAL", "vibecheck:poll_st"),
        ("RECOVERY", "vibecheck:poll_ne"),
    ]


@pytest.mark.parametrize("kind", [("json", "json"), ("xml", "xml"), ("form", "form")], ids=lambda pair: pair[0])
async def test_a_webhook_is_told_the_type_of_the_message(kind: tuple[str, str]) -> None:
    with running_receiver() as webhook:
        address = webhook.apprise_url.replace("json", kind[0], 1)
        for each, word in ((Kind.ALARM, "failure"), (Kind.WARNING, "warning"), (Kind.RECOVERY, "success")):
            await send(address, notice(each))
            assert word in webhook.accepted[-1].body
        assert len(webhook.accepted) == 3


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_mail_arrives_whole_and_once(kind: Kind) -> None:
    with running_mail_server() as server:
        await send(server.apprise_url, notice(kind))
    (mail,) = server.mails
    assert mail["subject"] == "VibeCheck staging: poll_news has been failing since 11:50 UTC"
    assert "night@example.com" in mail["to"]
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "Last error: It broke." in body.get_content()


async def test_a_mail_that_is_refused_is_not_delivered() -> None:
    with running_mail_server() as server:
        server.refuses = True
        with pytest.raises(NotDelivered, match="mail"):
            await send(server.apprise_url, notice(Kind.ALARM))


@pytest.mark.parametrize(
    ("address", "limit"),
    [(DISCORD, 2_000), (TELEGRAM, 4_096), (TEAMS, 28_000), (PAGERDUTY, 60_000), (OPSGENIE, 40_000)],
    ids=["discord", "telegram", "teams", "pagerduty", "opsgenie"],
)
async def test_a_message_about_many_jobs_fits(internet: Internet, address: str, limit: int) -> None:
    jobs = [notice(Kind.ALARM, f"job_{number:02}", text="x" * 400 + f" job_{number:02}") for number in range(47)]
    await send(address, *jobs)
    assert max(len(request.body) for request in internet.requests) <= limit
    if address in (DISCORD, TELEGRAM, TEAMS):
        (request,) = internet.requests
        assert "more" in request.body
        assert "1 of 3 jobs is not healthy" in request.body
    else:
        assert len(internet.requests) == 47


LIES = {
    "refuses": Answer(403, "no"),
    "fails": Answer(500, "oops"),
    "redirects to a page that is content": Answer(302, "", {"location": "https://hooks.slack.com/login"}),
    "resets": Answer(resets=True),
    "hangs": Answer(hangs=True),
}


@pytest.mark.parametrize(
    "address", [SLACK, PAGERDUTY, OPSGENIE, DISCORD], ids=["slack", "pagerduty", "opsgenie", "discord"]
)
@pytest.mark.parametrize("answer", LIES.values(), ids=list(LIES))
async def test_a_receiver_that_refuses_the_message_is_known_to(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, address: str, answer: Answer
) -> None:
    monkeypatch.setattr(delivery, "DELIVERY_SECONDS", 2.0)
    internet.answer = lambda request: answer if request.method == "POST" else Answer(200)
    with pytest.raises(NotDelivered) as refusal:
        await send(address, notice(Kind.ALARM))
    for secret in ("TIiajkdnlazkcOXrIdevi7FQ", "integrationkey", "genie-key-1", "JHMHI8qBe7bk2ZwO5U711o3dV_js"):
        assert secret not in str(refusal.value)
    assert not [request for request in internet.requests if request.method == "GET"]


@pytest.mark.parametrize(
    "address", [PAGERDUTY, OPSGENIE, JIRA, SPLUNK], ids=["pagerduty", "opsgenie", "jira", "splunk"]
)
@pytest.mark.parametrize("body", ["<html>Log in</html>", "{}", "[]", '{"status": "error", "result": "failure"}'])
async def test_an_incident_service_that_accepts_and_lies_is_found_out(
    internet: Internet, address: str, body: str
) -> None:
    internet.answer = lambda _request: Answer(200, body)
    with pytest.raises(NotDelivered, match="not as one that has taken it"):
        await send(address, notice(Kind.ALARM))


@pytest.mark.parametrize("address", [PAGERDUTY, NTFY], ids=scheme)
async def test_an_answer_that_nobody_reads_is_not_read(internet: Internet, address: str) -> None:
    internet.answer = lambda request: Answer(reply(request).status, reply(request).body + " " * 2_000_000)
    with pytest.raises(NotDelivered):
        await send(address, notice(Kind.ALARM))


def test_the_plugin_of_a_block_asks_as_that_of_an_address() -> None:
    address = "json://localhost/alarms"
    (by_block,) = plugins_of_block(Apprise(address))
    (by_address,) = plugins_of_address(Receiver("default", "VIBECHECK_NOTIFICATION", SecretStr(address)))
    assert by_block.redirects is by_address.redirects is False


def test_no_plugin_has_a_time_limit_that_the_process_waits_for() -> None:
    # Under one, Apprise asks in a pool, whose threads hold the process up at its end.
    dispatch = pytest.importorskip("apprise.dispatch", reason="Apprise 1 has no such limit")
    (plugin,) = plugins_of_block(Apprise("json://localhost/alarms"))
    assert dispatch.compute_deadline(plugin, None) is None


async def test_a_plugin_that_is_content_and_sends_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Opsgenie's does, for a message of the type "info", if it were used.
    def none_of(_plugin: Any) -> None:
        """As if it kept no incidents."""

    monkeypatch.setattr(delivery, "service_of", none_of)
    with pytest.raises(NotDelivered, match="sent nothing"):
        await send(OPSGENIE, notice(Kind.RECOVERY))


@pytest.mark.parametrize("address", ["https://example.com/x", "nonsense", "what://is/this"])
async def test_an_impossible_address_is_refused_by_its_settings_name(address: str) -> None:
    with pytest.raises(InvalidReceiver, match="VIBECHECK_NOTIFICATION"):
        await send(address, notice(Kind.ALARM))
