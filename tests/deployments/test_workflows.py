"""The CI workflows are valid, test every admitted Python, and deploy what was tested."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.settings import PROJECT_ROOT

WORKFLOWS = PROJECT_ROOT / ".github" / "workflows"
FILES = sorted(WORKFLOWS.glob("*.yml"))


def load(name: str) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    return {
        "on" if key is True else key: value for key, value in yaml.safe_load((WORKFLOWS / name).read_text()).items()
    }


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_the_workflows_are_valid(schema: str) -> None:
    # A job that calls a workflow cannot have a timeout: its jobs have theirs.
    files = [path for path in FILES if schema.startswith("vendor") or path.name != "deploy.yml"]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_every_python_that_the_project_admits_is_tested() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    lowest, beyond = re.findall(r"3\.(\d+)", project["requires-python"])
    expected = [f"3.{minor}" for minor in range(int(lowest), int(beyond))]
    test = load("ci.yml")["jobs"]["test"]
    assert test["strategy"]["matrix"]["python"] == expected
    assert ".ci/run" in commands(test)


def test_only_main_is_deployed_and_only_after_its_tests() -> None:
    deploy = load("deploy.yml")
    assert deploy["on"] == {"push": {"branches": ["main"]}, "workflow_dispatch": None}
    assert deploy["jobs"]["test"] == {"uses": "./.github/workflows/ci.yml"}
    assert deploy["jobs"]["deploy"]["needs"] == "test"
    # A person may start it from any branch.
    assert deploy["jobs"]["deploy"]["if"] == "github.ref == 'refs/heads/main'"
    assert deploy["concurrency"]["cancel-in-progress"] is False


def test_the_workflow_deploys_from_the_lock_and_then_applies() -> None:
    run = commands(load("deploy.yml")["jobs"]["deploy"])
    steps = [
        "make .venv/installed",
        "uv run --no-sync prefect --no-prompt deploy --all",
        "uv run --no-sync vibecheck apply",
    ]
    assert sorted(steps, key=run.index) == steps
    # `make .venv/installed` is what checks every hash.
    makefile = (PROJECT_ROOT / "Makefile").read_text()
    assert re.search(r"^\.venv/installed: requirements\.lock$", makefile, re.MULTILINE)
    assert "--require-hashes -r $<" in makefile


def test_the_automations_it_applies_are_the_installations() -> None:
    job = load("deploy.yml")["jobs"]["deploy"]
    # What `apply` writes into them. Without these it would take the alarms away, or rewrite them.
    written = {"VIBECHECK_NOTIFICATION", "VIBECHECK_REMINDER_SECONDS", "VIBECHECK_INSTALLATION", "PREFECT_UI_URL"}
    assert written <= job["env"].keys()
    # Prefect finds the UI's address from the API's only where the variable is not there at all.
    (apply,) = (step["run"] for step in job["steps"] if "vibecheck apply" in step.get("run", ""))
    done = subprocess.run(
        ["bash", "-euc", apply.replace("uv run --no-sync vibecheck apply", 'echo "${PREFECT_UI_URL-unset}"')],
        env={"PREFECT_UI_URL": "", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "unset\n"


def test_the_newest_allowed_versions_are_tried() -> None:
    supply = load("supply.yml")
    assert {"cron"} == supply["on"]["schedule"][0].keys()
    steps = commands(supply["jobs"]["newest-versions"])
    assert "pip install --python .venv --upgrade --requirements pyproject.toml" in steps
    assert "python -m pytest" in steps


def test_both_locks_are_audited_and_every_commit_is_scanned() -> None:
    supply = load("supply.yml")
    audited = re.findall(r"pip-audit .*--requirement (\S+)", commands(supply["jobs"]["audit"]))
    assert audited == ["requirements.lock", "requirements-dev.lock"]
    assert supply["jobs"]["secrets"]["steps"][0]["with"]["fetch-depth"] == 0


def test_the_supply_is_checked_each_week_and_with_each_lock() -> None:
    supply = load("supply.yml")
    (weekly,) = supply["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", weekly["cron"])
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert any(fnmatch(lock, pattern) for pattern in supply["on"]["pull_request"]["paths"]), lock
    jobs = supply["jobs"]
    assert "gitleaks" in commands(jobs["secrets"])
    assert re.search(r"pip-licenses .*--fail-on", commands(jobs["audit"]))
    assert "--output spdx-json" in commands(jobs["bill-of-materials"])
    # A job with a condition may not run at all.
    assert not [name for name, job in jobs.items() if "if" in job]


def test_properties_are_tried_with_many_examples_each_week() -> None:
    job = load("ci.yml")["jobs"]["properties"]
    assert job["if"] == "github.event_name == 'schedule'"
    assert "-m hypothesis --hypothesis-profile thorough" in commands(job)
    # A property takes forty times as long as in a run of all tests, whose limit is two minutes for each.
    assert "-o timeout=7200" in commands(job)


def test_the_whole_drill_has_time_to_end() -> None:
    containers = load("ci.yml")["jobs"]["containers"]
    (drill,) = (step for step in containers["steps"] if step.get("run") == "make drill")
    assert drill["if"] == "github.event_name == 'schedule'"
    # It takes more than an hour on two cores, and each of its items may wait.
    assert containers["timeout-minutes"] >= 180
    (up,) = (step for step in containers["steps"] if step.get("run") == "make drill ITEMS=up")
    assert up["timeout-minutes"] <= 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_secrets_come_by_name_and_the_token_may_only_read(path: Path) -> None:
    workflow = load(path.name)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        for name, value in job.get("env", {}).items():
            assert re.fullmatch(r"\$\{\{ (secrets|vars)\." + name + r" \}\}", value), name
        for step in job.get("steps", []):
            # In a shell line a secret would be pasted in as code.
            assert "${{" not in step.get("run", "")
            assert "@" in step.get("uses", "@")
