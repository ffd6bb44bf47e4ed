"""docker-compose.yml and the Dockerfile keep what the handbook promises, as far as that shows without an engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.server.environments import WORKER_SETTINGS, server_settings
from flows.settings import PROJECT_ROOT
from tests.support import settings_document

COMPOSE_FILE = PROJECT_ROOT / "docker-compose.yml"
OVERRIDES = sorted((PROJECT_ROOT / "deployments" / "containers").glob("*.yml"))
PUBLISHED = PROJECT_ROOT / "deployments" / "containers" / "published-database.yml"
TEXT = COMPOSE_FILE.read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
BACKING = {"postgres", "redis"}
ONE_SHOT = {"migrate", "apply"}
LASTING = SERVICES.keys() - ONE_SHOT
APPLICATION = SERVICES.keys() - BACKING
# Settings that make no sense in a container.
NOT_PASSED_ON = {"VIBECHECK_DATA_DIRECTORY"}
_UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(duration: str) -> float:
    return float(duration[:-1]) * _UNITS[duration[-1]]


def environment(service: str) -> dict[str, str | None]:
    return SERVICES[service].get("environment", {})


@pytest.mark.parametrize("path", [COMPOSE_FILE, *OVERRIDES], ids=lambda path: path.name)
def test_it_is_a_valid_compose_file(path: Path) -> None:
    arguments = ["--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_passes_its_linter() -> None:
    linter = shutil.which("hadolint", path=f"{sys.prefix}/bin")
    assert linter is not None, "hadolint is missing: `make .venv/installed-dev`"
    done = subprocess.run([linter, str(PROJECT_ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_of_official_bases_and_hashed_wheels_alone() -> None:
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"python:3.13-slim-trixie"}
    assert set(re.findall(r"--from=(\S+)", dockerfile)) == {"build"}
    assert "# syntax=" not in dockerfile
    assert "--require-hashes --only-binary :all: -r /tmp/requirements.lock" in dockerfile
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)


def test_one_image_built_once_serves_every_service_of_ours() -> None:
    assert len({SERVICES[name]["image"] for name in APPLICATION}) == 1
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["migrate"]
    # Nobody else's image of that name is pulled.
    assert {SERVICES[name]["pull_policy"] for name in APPLICATION} == {"never"}


def test_every_password_is_required_and_the_sentence_names_it() -> None:
    required = {variable.name for variable in settings_document.COMPOSE_VARIABLES if not variable.default}
    sentences = dict(re.findall(r"\$\{(\w+):\?([^}]+)\}", TEXT))
    assert sentences.keys() == required
    assert [name for name, sentence in sentences.items() if f"Set {name} in .env" not in sentence] == []
    assert [name for name in required if re.search(rf"\$\{{{name}:?-", TEXT)] == []


def test_every_variable_it_reads_is_documented_with_its_default() -> None:
    documented = {variable.name: variable.default for variable in settings_document.COMPOSE_VARIABLES}
    # A setting that has another default here, as its description says.
    documented["VIBECHECK_INSTALLATION"] = "vibecheck"
    read = TEXT + PUBLISHED.read_text()
    assert set(re.findall(r"\$\{(\w+)", read)) == documented.keys()
    assert dict(re.findall(r"\$\{(\w+):-([^}]*)\}", read)) == {
        name: default for name, default in documented.items() if default
    }


def test_every_setting_of_the_pipeline_reaches_the_worker() -> None:
    settings = {variable.name for variable in settings_document.settings_variables()}
    assert settings - environment("worker").keys() == NOT_PASSED_ON
    # And what judges the jobs agrees with what runs them.
    own = {name for name in settings - NOT_PASSED_ON if name.startswith("VIBECHECK_")}
    for service in ("apply", "worker-status"):
        assert own - environment(service).keys() == set(), service
    # The health service reads only these of all settings.
    judging = ("FAILING_AFTER", "STALE_DATA_AFTER", "NOT_STARTED_IS_HEALTHY", "TIMEZONE")
    read = {f"VIBECHECK_{name}" for name in judging}
    assert environment("health").keys() == read | {
        "VIBECHECK_DATABASE_URL", "VIBECHECK_LOG_FORMAT", "VIBECHECK_LOG_LEVEL", "PREFECT_UI_URL",
    }  # fmt: skip


def test_all_containers_call_the_installation_by_one_name() -> None:
    for service in ("apply", "worker", "worker-status"):
        assert environment(service)["VIBECHECK_INSTALLATION"] == "${VIBECHECK_INSTALLATION:-vibecheck}", service


def test_the_public_service_only_reads_and_holds_one_password() -> None:
    passwords = re.findall(r"\$\{(\w*(?:PASSWORD|KEY))", str(environment("health")))
    assert passwords == ["POSTGRES_HEALTH_PASSWORD"]
    assert "://vibecheck_health:" in str(environment("health")["VIBECHECK_DATABASE_URL"])


def test_no_password_stands_in_an_argument_of_a_process() -> None:
    for service, definition in SERVICES.items():
        arguments = [*definition.get("command", []), *definition.get("healthcheck", {}).get("test", [])]
        assert re.findall(r"\$\{\w*(?:PASSWORD|KEY)", str(arguments)) == [], service


def test_redis_gets_its_password_through_standard_input(tmp_path: Path) -> None:
    # What the shell starts says what it was given; the real one reads the same from `-`.
    (tmp_path / "redis-server").write_text('#!/bin/sh\necho "$@"\ncat\n')
    (tmp_path / "redis-server").chmod(0o755)
    done = subprocess.run(
        [argument.replace("$$", "$") for argument in SERVICES["redis"]["command"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": "sesame"},
        capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    arguments, configuration = done.stdout.splitlines()
    assert arguments.split()[:1] == ["-"]
    assert "sesame" not in arguments
    assert configuration == "requirepass sesame"


def test_secrets_go_only_where_they_are_needed() -> None:
    holders = {
        "POSTGRES_PASSWORD": {"postgres"},
        "ASKNEWS_API_KEY": {"worker"},
        "PREFECT_SERVER_ENCRYPTION_KEY": {"migrate", "server", "services"},
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": {"migrate", "server", "services"},
        "VIBECHECK_DATABASE_URL": {"apply", "worker", "worker-status", "health"},
    }
    for name, expected in holders.items():
        assert {service for service in SERVICES if name in environment(service)} == expected, name


def test_the_server_has_the_settings_that_the_pipeline_needs() -> None:
    for service in ("server", "services"):
        own = {**server_settings(), "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage"}
        assert own.items() <= environment(service).items()
        assert environment(service)["PREFECT_SERVER_EVENTS_MESSAGING_BROKER"] == "prefect_redis.messaging"
        assert environment(service)["PREFECT_SERVER_EVENTS_MESSAGING_CACHE"] == "prefect_redis.messaging"
        assert environment(service)["PREFECT_SERVER_EVENTS_CAUSAL_ORDERING"] == "prefect_redis.ordering"
        assert str(environment(service)["PREFECT_SERVER_DOCKET_URL"]).startswith("redis://")
        own = environment(service)["PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL"]
        assert own == environment(service)["PREFECT_REDIS_MESSAGING_URL"]
        assert environment(service)["PREFECT_SERVER_DATABASE_MIGRATE_ON_START"] == "false"
        assert str(environment(service)["PREFECT_SERVER_API_AUTH_STRING"]).startswith("admin:${SERVER_PASSWORD")
    for service in ("worker", "worker-status"):
        assert WORKER_SETTINGS.items() <= environment(service).items()


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_is_confined(service: str) -> None:
    definition = SERVICES[service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in definition
    assert definition["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert not definition.keys() & {"privileged", "container_name", "ulimits"}
    if service in APPLICATION:
        assert definition["user"] == "10001:10001"
        assert "cap_add" not in definition
    for port in definition.get("ports", []):
        assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:")


@pytest.mark.parametrize("service", sorted(LASTING))
def test_a_lasting_service_restarts_and_has_a_healthcheck(service: str) -> None:
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_what_runs_once_is_waited_for() -> None:
    assert {SERVICES[name]["restart"] for name in ONE_SHOT} == {"no"}
    done = {"condition": "service_completed_successfully"}
    for service in ("server", "services"):
        assert SERVICES[service]["depends_on"]["migrate"] == done
    for service in ("worker", "worker-status", "health"):
        assert SERVICES[service]["depends_on"]["apply"] == done


def test_workers_can_be_scaled_and_a_rollout_awaits_their_runs() -> None:
    assert not SERVICES["worker"].keys() & {"ports", "container_name"}
    from flows.pipeline_status import pipeline_status
    from flows.poll_news import poll_news
    from flows.poll_stories import poll_stories

    def longest_run(flow: Any) -> float:
        return flow.timeout_seconds * (1 + flow.retries) + flow.retries * flow.retry_delay_seconds

    grace = seconds(SERVICES["worker"]["stop_grace_period"])
    assert grace > max(longest_run(poll_news), longest_run(poll_stories))
    assert seconds(SERVICES["worker-status"]["stop_grace_period"]) > longest_run(pipeline_status)


@pytest.mark.parametrize("service", ["worker", "worker-status"])
def test_a_worker_is_drained_before_its_server_is_replaced(service: str) -> None:
    for half in ("server", "services"):
        assert SERVICES[service]["depends_on"][half] == {"condition": "service_healthy", "restart": True}


def test_the_database_is_reached_from_outside_only_if_asked_for() -> None:
    assert "ports" not in SERVICES["postgres"]
    published = yaml.safe_load(PUBLISHED.read_text())
    assert published == {
        "services": {"postgres": {"ports": ["${BIND_ADDRESS:-127.0.0.1}:${POSTGRES_PORT:-5432}:5432"]}}
    }


def test_every_work_pool_has_a_worker() -> None:
    pools = {
        pool["work_pool"]["name"] for pool in yaml.safe_load((PROJECT_ROOT / "prefect.yaml").read_text())["deployments"]
    }
    served = {
        command[command.index("--pool") + 1]
        for command in (definition.get("command", []) for definition in SERVICES.values())
        if "--pool" in command
    }
    assert served == pools


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not here")
def test_a_missing_password_stops_compose_with_the_sentence() -> None:
    done = subprocess.run(
        ["docker", "compose", "--file", str(COMPOSE_FILE), "--env-file", "/dev/null", "config", "--quiet"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "is not a docker command" in done.stderr or "unknown" in done.stderr:
        pytest.skip("docker compose is not here")
    assert done.returncode != 0
    assert re.search(r"Set \w+ in \.env", done.stderr)
