"""A Prefect server that a test makes up: what the reconciler and `verify` ask of one, answered at the network's edge.

It filters, sorts and pages as the real one does; how the real one behaves when things break, the end-to-end tests show.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import PrefectClient

START = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
PAGE = 200
Json = dict[str, Any]


@dataclass
class FakePrefect:
    """The server. Its clock, `now`, stands still until a test moves it."""

    now: datetime = START
    version: str = "3.8.8"
    flows: dict[str, str] = field(default_factory=dict[str, str])
    deployments: list[Json] = field(default_factory=list[Json])
    runs: dict[str, Json] = field(default_factory=dict[str, Json])
    automations: list[Json] = field(default_factory=list[Json])
    work_pools: dict[str, str] = field(default_factory=dict[str, str])
    """Their status, by name. A worker polls those that are ready."""
    heartbeats: dict[str, datetime] = field(default_factory=dict[str, datetime])
    settings: Json = field(default_factory=dict[str, Any])
    requests: list[str] = field(default_factory=list[str])
    is_broken_for: Callable[[str], bool] = lambda _path: False
    emitted: list[Json] = field(default_factory=list[Json])
    """The events that it was handed, oldest first."""
    refusals: dict[str, str] = field(default_factory=dict[str, str])
    """What it says to those who ask for these paths."""
    is_gone: set[str] = field(default_factory=set[str])
    """Runs that are deleted between being found and being asked for."""

    def client(self) -> PrefectClient:
        return PrefectClient("http://prefect.test/api", httpx_settings={"transport": httpx.MockTransport(self.answer)})

    def flow_id(self, job_name: str) -> str:
        return next((id_ for id_, name in self.flows.items() if name == job_name), None) or self._new_flow(job_name)

    def deploy(self, job_name: str, *, every: timedelta | None = timedelta(minutes=15), **changes: Any) -> Json:
        """A deployment whose ticks lie on the full hour, changed now."""
        schedules = [] if every is None else [self.schedule(every)]
        deployment: Json = {
            "id": str(uuid4()), "name": "scheduled", "flow_id": self.flow_id(job_name),
            "tags": ["monitored", "supervised"],
            "created": self.now.isoformat(), "updated": self.now.isoformat(), "paused": False, "schedules": schedules,
            **changes,
        }  # fmt: skip
        self.deployments.append(deployment)
        return deployment

    def schedule(self, every: timedelta) -> Json:
        rule = {"interval": every.total_seconds(), "anchor_date": START.isoformat(), "timezone": "UTC"}
        return {"id": str(uuid4()), "slug": "s", "active": True, "schedule": rule, "updated": self.now.isoformat()}

    def run(
        self,
        job_name: str,
        due: datetime,
        state: str = "COMPLETED",
        *,
        name: str | None = None,
        message: str | None = None,
        run_count: int = 1,
        auto_scheduled: bool = True,
        lasts: timedelta = timedelta(seconds=20),
        **changes: Any,
    ) -> UUID:
        """A flow run that started on time; a final state was reached `lasts` later, any other one at the start."""
        is_final = state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        at = due + lasts if is_final else due
        run: Json = {
            "id": str(uuid4()), "name": "some-run", "flow_id": self.flow_id(job_name),
            "deployment_id": next(
                (each["id"] for each in self.deployments if each["flow_id"] == self.flow_id(job_name)), None
            ),
            "auto_scheduled": auto_scheduled, "run_count": run_count,
            "expected_start_time": due.isoformat(), "next_scheduled_start_time": due.isoformat(),
            # One that never started begins when it ends.
            "start_time": due.isoformat() if run_count else at.isoformat() if is_final else None,
            "end_time": at.isoformat() if is_final else None,
            "state": _state(state, name, message, at), "state_type": state,
            **changes,
        }  # fmt: skip
        self.runs[run["id"]] = run
        return UUID(run["id"])

    def set_state(self, run_id: UUID, state: str, *, name: str | None = None, message: str | None = None) -> None:
        run = self.runs[str(run_id)]
        run |= {"state": _state(state, name, message, self.now), "state_type": state}
        if state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            run["end_time"] = self.now.isoformat()

    def switch_off(self, automation: str) -> None:
        """The operator has switched an automation of ours off."""
        trigger = {"type": "event", "expect": ["x"], "posture": "Reactive", "threshold": 1, "within": 0}
        self.automations.append(
            {"id": str(uuid4()), "name": automation, "enabled": False, "trigger": trigger, "actions": []}
        )

    def _new_flow(self, job_name: str) -> str:
        id_ = str(uuid4())
        self.flows[id_] = job_name
        return id_

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        self.requests.append(path)
        if self.is_broken_for(path):
            return httpx.Response(500)
        if path in self.refusals:
            return httpx.Response(409, json={"detail": self.refusals[path]})
        body: Json = json.loads(request.content or b"{}")
        answer = self._respond(path, body)
        headers = {"date": self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if answer is None:
            return httpx.Response(404, json={"detail": "not found"}, headers=headers)
        return httpx.Response(200, json=answer, headers=headers)

    def _respond(self, path: str, body: Any) -> Any:
        match path.strip("/").split("/"):
            case ["flows", "count"]:
                return len(self.flows)
            case ["admin", "version"]:
                return self.version
            case ["admin", "settings"]:
                return self.settings
            case ["deployments", "filter"]:
                tags = set(_find(body, "deployments", "tags", "all_") or ())
                return _page(self._sorted([each for each in self.deployments if tags <= set(each["tags"])], body), body)
            case ["deployments", id_]:
                return next((each for each in self.deployments if each["id"] == id_), None)
            case ["deployments", _, "schedule"]:
                return {}  # a test says itself what is planned
            case ["deployments", id_, "create_flow_run"]:
                deployment = next(each for each in self.deployments if each["id"] == id_)
                job = self.flows[deployment["flow_id"]]
                return self.runs[str(self.run(job, self.now, "SCHEDULED", run_count=0, auto_scheduled=False))]
            case ["flows", "filter"]:
                found = [{"id": id_, "name": name} for id_, name in self.flows.items() if self._is_wanted(id_, body)]
                return _page(found, body)
            case ["flow_runs", "filter"]:
                found = sorted(self._matching(body), key=lambda run: run["id"], reverse=True)
                return _page(found, body)
            case ["flow_runs", "count"]:
                return len(self._matching(body))
            case ["flow_runs", id_]:
                return None if id_ in self.is_gone else self.runs.get(id_)
            case ["flow_runs", id_, "set_state"]:
                state = body["state"]
                self.set_state(UUID(id_), state["type"], name=state["name"], message=state["message"])
                if (wanted := state["state_details"].get("scheduled_time")) is not None:
                    self.runs[id_]["next_scheduled_start_time"] = wanted
                return {"status": "ACCEPT", "state": self.runs[id_]["state"], "details": {}}
            case ["automations", "related-to", _]:
                return self.automations
            case ["work_pools", name, "workers", "filter"]:
                worker = {"id": str(uuid4()), "name": "worker", "work_pool_id": str(uuid4()), "status": "ONLINE"}
                return [worker] if self.work_pools.get(name) == "READY" else []
            case ["work_pools", name]:
                status = self.work_pools.get(name)
                pool = {"id": str(uuid4()), "name": name, "type": "process", "status": status}
                return status and {**pool, "is_paused": status == "PAUSED"}
            case ["events"]:
                self.emitted += body
                return {}
            case ["events", "filter"]:
                return {"events": self._events(body["filter"]), "total": 1, "next_page": None}
            case _:
                return None

    def _sorted(self, deployments: list[Json], body: Json) -> list[Json]:
        """As asked for. PostgreSQL puts those of one name in any order, and in another one in each answer."""
        if body.get("sort") == "CREATED_DESC":
            return deployments[::-1]
        order = Random(len(self.requests))  # noqa: S311  # nothing secret
        return sorted(deployments, key=lambda each: (each["name"], order.random()))

    def _is_wanted(self, flow_id: str, body: Json) -> bool:
        names, ids = _find(body, "flows", "name", "any_"), _find(body, "flows", "id", "any_")
        return (names is None or self.flows[flow_id] in names) and (ids is None or flow_id in ids)

    def _matching(self, body: Json) -> list[Json]:
        types = _find(body, "flow_runs", "state", "type", "any_")
        ids = _find(body, "flow_runs", "id", "any_")
        deployments = _find(body, "flow_runs", "deployment_id", "any_") or _find(body, "deployments", "id", "any_")
        return [
            run
            for run in self.runs.values()
            if self._is_wanted(run["flow_id"], body)
            and (types is None or run["state_type"] in types)
            and (ids is None or run["id"] in ids)
            and (deployments is None or run["deployment_id"] in deployments)
            and _is_within(run["expected_start_time"], _find(body, "flow_runs", "expected_start_time"))
            and _is_within(run["end_time"], _find(body, "flow_runs", "end_time"))
        ]

    def _events(self, wanted: Json) -> list[Json]:
        since = datetime.fromisoformat(wanted["occurred"]["since"])
        resources = _find(wanted, "resource", "id")
        related = _find(wanted, "related", "id")
        return [
            {
                "event": "prefect.flow-run.heartbeat", "occurred": at.isoformat(), "received": at.isoformat(),
                "resource": {"prefect.resource.id": f"prefect.flow-run.{id_}"}, "id": str(uuid4()), "payload": {},
            }
            for id_, at in sorted(self.heartbeats.items(), key=lambda item: item[1], reverse=True)
            if at >= since
            and (resources is None or f"prefect.flow-run.{id_}" in resources)
            and (related is None or f"prefect.deployment.{self.runs[id_]['deployment_id']}" in related)
        ]  # fmt: skip


def _find(body: Any, *path: str) -> Any:
    """What a filter asks for at `path`, or None."""
    for key in path:
        if body is None:
            break
        body = body.get(key)
    return body


def _state(kind: str, name: str | None, message: str | None, at: datetime) -> Json:
    return {
        "id": str(uuid4()), "type": kind, "name": name or kind.capitalize(), "message": message,
        "timestamp": at.isoformat(),
    }  # fmt: skip


def _page(found: list[Json], body: Json) -> list[Json]:
    offset = body.get("offset") or 0
    return found[offset : offset + (body.get("limit") or PAGE)]


def _is_within(moment: str | None, bounds: Json | None) -> bool:
    if not bounds:
        return True
    if moment is None:
        return False
    after, before = bounds.get("after_"), bounds.get("before_")
    at = datetime.fromisoformat(moment)
    return (after is None or at >= datetime.fromisoformat(after)) and (
        before is None or at <= datetime.fromisoformat(before)
    )
