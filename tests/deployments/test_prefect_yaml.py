"""prefect.yaml means what it says: Prefect drops what it does not know without a word, so nothing unknown is in it."""

import importlib
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.flows import Flow
from prefect.server.api.collections import get_collection_view
from prefect.utilities.templating import apply_values

from flows.settings import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "prefect.yaml").read_text()
CONTENT: dict[str, Any] = yaml.safe_load(TEXT)
DEPLOYMENTS: list[dict[str, Any]] = CONTENT["deployments"]
NAMES = [deployment["entrypoint"].rsplit(".", 1)[1] for deployment in DEPLOYMENTS]
OTHER_POOLS = (PROJECT_ROOT / "docs" / "other-pools.md").read_text()


def with_pools(snippet: str) -> dict[str, Any]:
    """prefect.yaml as the reader of docs/other-pools.md would have it."""
    changed, count = re.subn(r"^  work_pools:\n(?:^    .*\n)+", snippet, TEXT, flags=re.MULTILINE)
    assert count == 1
    return yaml.safe_load(changed)


def snippets() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", OTHER_POOLS, re.DOTALL)


def test_prefect_understands_every_key() -> None:
    PrefectYamlModel.model_validate(CONTENT)
    # `definitions` is ours: a place for anchors.
    assert CONTENT.keys() <= {"definitions", "name", *PrefectYamlModel.model_fields}
    for deployment in DEPLOYMENTS:
        assert deployment.keys() <= DeploymentConfig.model_fields.keys()
        assert deployment["work_pool"].keys() <= WorkPoolConfig.model_fields.keys()
        assert deployment["concurrency_limit"].keys() <= ConcurrencyLimitSpec.model_fields.keys()
        for schedule in deployment["schedules"]:
            RawScheduleConfig.model_validate(schedule)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_a_deployments_parameters_are_those_of_its_flow(deployment: dict[str, Any]) -> None:
    module, name = deployment["entrypoint"].rsplit(".", 1)
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    assert flow.name == name
    assert deployment.get("parameters", {}).keys() <= flow.parameters.properties.keys()
    assert deployment["description"]
    # Prefect's run form shows what the docstring says of each, and nothing of a field's own description.
    assert all(parameter["description"] for parameter in flow.parameters.properties.values())


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_a_deployment_is_monitored_and_one_run_goes_at_a_time(deployment: dict[str, Any]) -> None:
    assert {"monitored", "supervised"} <= set(deployment["tags"])
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_deploying_again_moves_no_schedule_and_doubles_none(deployment: dict[str, Any]) -> None:
    slugs = [schedule["slug"] for schedule in deployment["schedules"]]
    assert len(set(slugs)) == len(slugs) == 1
    for schedule in deployment["schedules"]:
        assert "anchor_date" in schedule
        assert schedule["timezone"] == "UTC"


def test_nothing_of_the_machine_that_deploys_is_baked_in() -> None:
    assert CONTENT["pull"] == [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}]
    assert "{{" not in TEXT
    assert not re.search(r"https?://", TEXT)


def test_the_watchdog_has_another_pool_than_those_it_watches() -> None:
    pools = {name: deployment["work_pool"]["name"] for name, deployment in zip(NAMES, DEPLOYMENTS, strict=True)}
    watchdog = pools.pop("pipeline_status")
    assert watchdog not in pools.values()


@pytest.mark.parametrize(("kind", "snippet"), list(zip(("docker", "kubernetes"), snippets(), strict=True)))
async def test_the_same_deployments_run_on_a_pool_of_another_kind(kind: str, snippet: str) -> None:
    workers: dict[str, Any] = await get_collection_view("aggregate-worker-metadata")
    template = workers[f"prefect-{kind}"][kind]["default_base_job_configuration"]
    variables_schema = template["variables"]
    content = with_pools(snippet)

    PrefectYamlModel.model_validate(content)
    for before, after in zip(DEPLOYMENTS, content["deployments"], strict=True):
        assert {**after, "work_pool": None} == {**before, "work_pool": None}
        variables = after["work_pool"]["job_variables"]
        # A variable that the pool does not have would be ignored in silence.
        assert variables.keys() <= variables_schema["properties"].keys()
        Draft202012Validator(variables_schema).validate(variables)  # pyright: ignore[reportUnknownMemberType]  # untyped
        job = apply_values(template["job_configuration"], variables)
        rendered = yaml.safe_dump(job)
        assert f"image: {variables['image']}" in rendered
        assert "VIBECHECK_DATABASE_BLOCK: vibecheck" in rendered
    assert len({after["work_pool"]["name"] for after in content["deployments"]}) == 2
