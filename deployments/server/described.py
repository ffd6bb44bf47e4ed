"""What prefect.yaml describes: every deployment, or, for a server that is only to be watched, the status flow's."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from flows.monitoring.vocabulary import STATUS_FLOW
from flows.settings import PROJECT_ROOT

PREFECT_FILE = PROJECT_ROOT / "prefect.yaml"


def described_deployments(*, watch_only: bool = False) -> list[dict[str, Any]]:
    """The entries of prefect.yaml, or the status flow's alone."""
    entries: list[dict[str, Any]] = yaml.safe_load(PREFECT_FILE.read_text())["deployments"]
    return [entry for entry in entries if not watch_only or entry["entrypoint"].endswith(f".{STATUS_FLOW}")]


def work_pool_names(*, watch_only: bool = False) -> list[str]:
    """The work pools of these deployments."""
    return sorted({entry["work_pool"]["name"] for entry in described_deployments(watch_only=watch_only)})


@contextmanager
def file_to_deploy(*, watch_only: bool) -> Generator[Path]:
    """A file for `prefect deploy --all`: its `--name` cannot tell apart two deployments that are called `scheduled`."""
    if not watch_only:
        yield PREFECT_FILE
        return
    content = yaml.safe_load(PREFECT_FILE.read_text())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        kept = {"name": content["name"], "pull": content["pull"]}
        file.write_text(yaml.safe_dump({**kept, "deployments": described_deployments(watch_only=True)}))
        yield file
