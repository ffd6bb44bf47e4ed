"""What docs/other-pools.md shows deploys on a real server, onto docker and kubernetes work pools."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.server.api.collections import get_collection_view

from tests.support.prefect_server import PROJECT_ROOT, PrefectServer, running_prefect

pytestmark = pytest.mark.end_to_end

KINDS = ("docker", "kubernetes")


@pytest.fixture
def prefect(tmp_path: Path, prefect_template: Path) -> Iterator[PrefectServer]:
    with running_prefect(tmp_path, prefect_template, {}) as server:
        yield server


async def test_the_same_file_deploys_onto_docker_and_kubernetes_pools(prefect: PrefectServer, tmp_path: Path) -> None:
    workers: dict[str, Any] = await get_collection_view("aggregate-worker-metadata")
    snippets = re.findall(r"```yaml\n(.*?)```", (PROJECT_ROOT / "docs" / "other-pools.md").read_text(), re.DOTALL)
    deployments: dict[str, dict[str, Any]] = {}
    for kind, snippet in zip(KINDS, snippets, strict=True):
        template = workers[f"prefect-{kind}"][kind]["default_base_job_configuration"]
        for pool in (f"vibecheck-{kind}", f"vibecheck-{kind}-status"):
            prefect.api("work_pools/", name=pool, type=kind, base_job_template=template)
        changed = tmp_path / f"{kind}.yaml"
        original = (PROJECT_ROOT / "prefect.yaml").read_text()
        changed.write_text(re.sub(r"^  work_pools:\n(?:^    .*\n)+", snippet, original, flags=re.MULTILINE))

        prefect.command("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(changed))

        deployments = {found["entrypoint"]: found for found in prefect.api("deployments/filter")}
        assert {found["work_pool_name"] for found in deployments.values()} == {
            f"vibecheck-{kind}",
            f"vibecheck-{kind}-status",
        }
        news = deployments["flows.poll_news.poll_news"]
        assert news["job_variables"]["image"] == "registry.example.com/vibecheck-pipeline:0.1.0"
        assert news["job_variables"]["env"]["VIBECHECK_DATABASE_BLOCK"] == "vibecheck"
        # No run there inherits a worker's settings, and the status flow is what tells somebody.
        status = deployments["flows.pipeline_status.pipeline_status"]
        assert status["job_variables"]["env"]["VIBECHECK_NOTIFICATION"] == "slack-webhook/alarms"
        assert news["pull_steps"] == [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}]
        assert [schedule["schedule"]["interval"] for schedule in news["schedules"]] == [900.0]
        assert news["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    # Moving to another pool doubled nothing.
    assert len(deployments) == 3
