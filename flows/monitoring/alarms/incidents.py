"""Receivers that keep incidents: each outage of a job is opened there once, updated, and closed by its recovery.

Their Apprise plugins cannot do that: PagerDuty's always opens an incident, without a key; Opsgenie's and Jira Service
Management's find an alert only in the process that made it, and report success when they sent nothing; Splunk
On-Call's has one key for all jobs. So the address is Apprise's, and the call is ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlsplit

from flows.monitoring.alarms.messages import Kind, cut

# What the services take; each refuses, or silently cuts, what is longer.
PAGERDUTY_SUMMARY, PAGERDUTY_DETAILS = 1_024, 50_000
OPSGENIE_MESSAGE, OPSGENIE_DESCRIPTION, OPSGENIE_ALIAS = 130, 15_000, 512
SPLUNK_TITLE, SPLUNK_BODY = 255, 20_000
# Opsgenie and its successor process a request later; this much they say at once.
OPSGENIE_ANSWER = {"result": "Request will be processed"}


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One outage of one job, as it stands. `key` is the same from its first alarm to its recovery."""

    key: str
    kind: Kind
    job_name: str
    subject: str
    body: str
    source: str
    """The installation."""
    url: str | None = None
    """Where to look."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One POST. `answer` holds what the answer's JSON must say for it to be a success."""

    url: str
    json: Mapping[str, Any]
    secret: str
    """What stands in it and nobody may read."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    answer: Mapping[str, str] = field(default_factory=dict[str, str])


Service = Callable[[Incident], Call]


def server_incident_key(source: str) -> str:
    """Return the key of what the Prefect server itself reports: nobody watches. The status flow's return closes it."""
    return f"vibecheck:server:{source}"


def service_of(plugin: Any) -> Service | None:
    """Return how to report an incident to what this Apprise plugin stands for, or None if it keeps no incidents."""
    from apprise.plugins.jira import JIRA_API_LOOKUP, NotifyJira
    from apprise.plugins.opsgenie import OPSGENIE_API_LOOKUP, NotifyOpsgenie
    from apprise.plugins.pagerduty import PAGERDUTY_API_LOOKUP, NotifyPagerDuty
    from apprise.plugins.splunk import NotifySplunk

    if isinstance(plugin, NotifyPagerDuty):
        return partial(_pagerduty, cast("Any", plugin), PAGERDUTY_API_LOOKUP)
    if isinstance(plugin, NotifyOpsgenie):
        return partial(_opsgenie, cast("Any", plugin), OPSGENIE_API_LOOKUP)
    if isinstance(plugin, NotifyJira):
        # It took over Opsgenie's API.
        return partial(_opsgenie, cast("Any", plugin), JIRA_API_LOOKUP)
    if isinstance(plugin, NotifySplunk):
        return partial(_splunk, cast("Any", plugin))
    return None


def _pagerduty(plugin: Any, addresses: Mapping[str, str], incident: Incident) -> Call:
    content: dict[str, Any] = {
        "routing_key": plugin.integration_key,
        "dedup_key": incident.key,
        "event_action": "resolve" if incident.kind is Kind.RECOVERY else "trigger",
        "client": "VibeCheck",
        "payload": {
            "summary": cut(incident.subject, PAGERDUTY_SUMMARY),
            "source": incident.source,
            "severity": plugin.severity or ("warning" if incident.kind is Kind.WARNING else "critical"),
            "component": incident.job_name,
            **({"group": plugin.group} if plugin.group else {}),
            **({"class": plugin.class_id} if plugin.class_id else {}),
            "custom_details": {**plugin.details, "message": cut(incident.body, PAGERDUTY_DETAILS)},
        },
    }
    if incident.url:
        content |= {"client_url": incident.url, "links": [{"href": incident.url, "text": "Look"}]}
    return Call(
        url=addresses[plugin.region_name],
        json=content,
        secret=plugin.integration_key,
        answer={"status": "success"},
    )


def _opsgenie(plugin: Any, addresses: Mapping[str, str], incident: Incident) -> Call:
    address = addresses[plugin.region_name]
    headers = {"Authorization": f"GenieKey {plugin.apikey}"}
    alias = cut(incident.key, OPSGENIE_ALIAS)
    source = cut(incident.source, 100)
    if incident.kind is Kind.RECOVERY:
        return Call(
            url=f"{address}/{quote(alias, safe='')}/close?identifierType=alias",
            json={"source": source, "note": cut(incident.body, OPSGENIE_DESCRIPTION)},
            headers=headers,
            secret=plugin.apikey,
            answer=OPSGENIE_ANSWER,
        )
    content: dict[str, Any] = {
        "message": cut(incident.subject, OPSGENIE_MESSAGE),
        "alias": alias,
        "description": cut(incident.body, OPSGENIE_DESCRIPTION),
        # An alert that is open already counts one more, and keeps its text: the note tells what has changed.
        "note": cut(incident.body, OPSGENIE_DESCRIPTION),
        "source": source,
        "entity": plugin.entity or incident.job_name,
        "priority": f"P{plugin.priority}",
        "details": dict(plugin.details),
    }
    if plugin.targets:
        content["responders"] = plugin.targets
    # The plugin keeps its tags to itself, but tells them in its address.
    if tags := parse_qs(urlsplit(cast("str", plugin.url())).query).get("tags"):
        content["tags"] = tags[0].split(",")
    return Call(url=address, json=content, secret=plugin.apikey, headers=headers, answer=OPSGENIE_ANSWER)


def _splunk(plugin: Any, incident: Incident) -> Call:
    types = {Kind.RECOVERY: "RECOVERY", Kind.WARNING: "WARNING"}
    return Call(
        url=plugin.notify_url.format(
            apikey=quote(plugin.apikey, safe=""), routing_key=quote(plugin.routing_key, safe="")
        ),
        json={
            "message_type": types.get(incident.kind, "CRITICAL"),
            "entity_id": incident.key,
            "entity_display_name": cut(incident.subject, SPLUNK_TITLE),
            "state_message": cut(incident.body, SPLUNK_BODY),
            "monitoring_tool": "VibeCheck",
        },
        secret=plugin.apikey,
        answer={"result": "success"},
    )
