"""What prefect.yaml describes: every deployment, or, for a server that is only to be watched, the status flow's."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deployments.failures import CommandFailed
from flows.monitoring.vocabulary import STATUS_FLOW
from flows.settings import PROJECT_ROOT

PREFECT_FILE = PROJECT_ROOT / "prefect.yaml"


def described_deployments(*, watch_only: bool = False) -> list[dict[str, Any]]:
    """Read the entries of prefect.yaml, or the status flow's alone. Raises CommandFailed if the file cannot be used."""
    try:
        entries: list[dict[str, Any]] = yaml.safe_load(PREFECT_FILE.read_text())["deployments"]
        named = [(entry["entrypoint"], entry["work_pool"]["name"], entry) for entry in entries]
    except (OSError, yaml.YAMLError) as error:
        raise CommandFailed(f"{PREFECT_FILE} cannot be read: {error}") from None
    except (LookupError, TypeError):
        raise CommandFailed(
            f"{PREFECT_FILE} cannot be used: each of its deployments needs an entrypoint, and a work_pool with a name."
        ) from None
    return [entry for entrypoint, _, entry in named if not watch_only or entrypoint.endswith(f".{STATUS_FLOW}")]


def check_described(*, watch_only: bool = False) -> None:
    """Raise CommandFailed for what Prefect would say only later, and at length: a flow's file that is not Python."""
    for entry in described_deployments(watch_only=watch_only):
        module = entry["entrypoint"].rpartition(".")[0]
        file = PROJECT_ROOT.joinpath(*module.split(".")).with_suffix(".py")
        try:
            compile(file.read_bytes() if file.exists() else b"", file, "exec")
        except SyntaxError as error:
            raise CommandFailed(f"{file}, line {error.lineno}: {error.msg}.") from None


def work_pool_names(*, watch_only: bool = False) -> list[str]:
    """Return the work pools of these deployments."""
    return sorted({entry["work_pool"]["name"] for entry in described_deployments(watch_only=watch_only)})


@contextmanager
def file_to_deploy(*, watch_only: bool) -> Generator[Path]:
    """Yield a file for `prefect deploy --all`: its `--name` cannot tell apart two deployments called `scheduled`."""
    if not watch_only:
        yield PREFECT_FILE
        return
    content = yaml.safe_load(PREFECT_FILE.read_text())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        kept = {"name": content["name"], "pull": content["pull"]}
        file.write_text(yaml.safe_dump({**kept, "deployments": described_deployments(watch_only=True)}))
        yield file
