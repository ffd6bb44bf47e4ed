"""Which runs are forked, and what a template imports for them."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES,
    temporary_settings,
)
from structlog.testing import capture_logs

from deployments.forking.plain_http import NOBODY, without_tls
from deployments.forking.starter import PULL_STEP, flow_modules, installs_dependencies, why_elsewhere
from flows.settings import PROJECT_ROOT

FOLDER = Path("/srv/project")


def deployment(*steps: dict[str, Any], **more: Any) -> DeploymentResponse:
    return DeploymentResponse(
        id=uuid4(), name="scheduled", flow_id=uuid4(), entrypoint="jobs.job", pull_steps=list(steps) or None, **more
    )


@pytest.mark.parametrize("directory", [".", "/srv/project", "../project/"])
def test_code_in_the_workers_folder_is_forked(directory: str) -> None:
    assert why_elsewhere(deployment({PULL_STEP: {"directory": directory}}), FOLDER, FOLDER) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (deployment(), "its pull steps"),
        (deployment({PULL_STEP: {"directory": "."}}, {PULL_STEP: {"directory": "."}}), "its pull steps"),
        (deployment({PULL_STEP: {"directory": ".", "requires": "x"}}), "its pull steps"),
        (deployment({PULL_STEP: {"directory": "."}, "id": "x"}), "its pull steps"),
        (deployment({"prefect.deployments.steps.git_clone": {"repository": "x"}}), "its pull steps"),
        (deployment({PULL_STEP: {"directory": "{{ $FOLDER }}"}}), "its code is in /srv/project/{{ $FOLDER }}"),
        (deployment({PULL_STEP: {"directory": "/srv/other"}}), "its code is in /srv/other"),
        (deployment({PULL_STEP: {"directory": "."}}, storage_document_id=uuid4()), "a storage block"),
    ],
    ids=["none", "two", "more inputs", "more keys", "git", "a template", "another folder", "a block"],
)
def test_any_doubt_about_the_code_is_named(found: DeploymentResponse, reason: str) -> None:
    assert reason in (why_elsewhere(found, FOLDER, FOLDER) or "")


def test_a_run_that_begins_elsewhere_is_elsewhere() -> None:
    found = deployment({PULL_STEP: {"directory": "."}})
    assert why_elsewhere(found, Path("/tmp/prefect"), FOLDER) == "its code is in /tmp/prefect"


def test_prefect_begins_in_the_current_folder_unless_told_another() -> None:
    found = deployment({PULL_STEP: {"directory": "."}})
    assert why_elsewhere(found, None, Path.cwd().resolve()) is None


def test_dependencies_to_install_are_noticed_wherever_set() -> None:
    assert not installs_dependencies({})
    assert not installs_dependencies({"PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false"})
    assert installs_dependencies({"PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "true"})
    with temporary_settings({PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES: True}):
        assert installs_dependencies({})


def test_a_template_imports_the_flows_of_its_pool() -> None:
    file = PROJECT_ROOT / "prefect.yaml"
    assert flow_modules(file, "vibecheck") == ["flows.poll_news", "flows.poll_stories"]
    assert flow_modules(file, "vibecheck-status") == ["flows.pipeline_status"]
    assert flow_modules(file, "another") == []


def test_flows_are_imported_by_name_and_those_of_a_file_are_not(tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    entrypoints = ["jobs/other.py:run", *(f"jobs.{name}.run" for name in "dcba")]
    deployments = [{"entrypoint": each, "work_pool": {"name": "vibecheck"}} for each in entrypoints]
    file.write_text(json.dumps({"deployments": deployments}))
    assert flow_modules(file, "vibecheck") == ["jobs.a", "jobs.b", "jobs.c", "jobs.d"]


def test_without_a_usable_prefect_file_nothing_is_imported(tmp_path: Path) -> None:
    assert flow_modules(tmp_path / "prefect.yaml", "vibecheck") == []
    for content in (": [", "", "deployments: [{}]", json.dumps([1])):
        (tmp_path / "prefect.yaml").write_text(content)
        with capture_logs() as events:
            assert flow_modules(tmp_path / "prefect.yaml", "vibecheck") == []
        assert [event["event"] for event in events] == ["flows_not_imported"]


@pytest.mark.parametrize("all_authorities", [None, "/etc/proxy.pem"])
def test_only_a_server_at_http_gets_a_certificate_of_nobody(
    monkeypatch: pytest.MonkeyPatch, all_authorities: str | None
) -> None:
    if all_authorities:
        monkeypatch.setenv("SSL_CERT_FILE", all_authorities)
    server: dict[Any, str | None] = {PREFECT_API_URL: "http://127.0.0.1:4200/api"}
    server[PREFECT_API_SSL_CERT_FILE] = all_authorities
    with temporary_settings(server):
        assert without_tls() == {PREFECT_API_SSL_CERT_FILE: str(NOBODY)}
    with temporary_settings(server | {PREFECT_API_URL: "https://prefect.example.org/api"}):
        assert without_tls() == {}
    with temporary_settings(server | {PREFECT_API_SSL_CERT_FILE: "/etc/own.pem"}):
        assert without_tls() == {}
