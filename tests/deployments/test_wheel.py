"""The wheel: one package, which gets along with the folders `flows/` and `deployments/` of another project."""

import subprocess
import zipfile
from pathlib import Path

import pytest

import flows.monitoring
import vibecheck
from tests.support.installed_wheel import installed_wheel

EVERYTHING_AND_HERS = """
import importlib, pkgutil, sys, vibecheck
for module in pkgutil.walk_packages(vibecheck.__path__, "vibecheck."):
    if ".migrations." not in module.name:
        importlib.import_module(module.name)
from vibecheck.deployments.__main__ import app
[app[name].default_command for name in app]
print({name.split(".")[0] for name in sys.modules} & {"flows", "deployments"})

import flows.etl, deployments.jobs
from vibecheck import monitored
from vibecheck.flows.settings import Settings
print(monitored(flows.etl.load).name, deployments.jobs.__name__, Settings().data_directory)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def installed(folder: Path) -> Path:
    return installed_wheel(folder)


def run(installed: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [installed / arguments[0], *arguments[1:]], cwd=folder, capture_output=True, text=True, check=False,
        env={"HOME": str(folder / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_its_name_offers_all_that_the_monitoring_does() -> None:
    assert vibecheck.__all__ == flows.monitoring.__all__
    assert all(getattr(vibecheck, name) is getattr(flows.monitoring, name) for name in vibecheck.__all__)


def test_the_wheel_has_one_package_and_its_command(installed: Path, folder: Path, tmp_path: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"vibecheck"}
    assert run(installed, tmp_path, "vibecheck", "--version")
    assert run(installed, tmp_path, "vibecheck", "status", "--help")


def test_it_stands_beside_a_projects_own_flows_and_deployments(installed: Path, tmp_path: Path) -> None:
    # One is a package, the other a folder without `__init__.py`: Python prefers a package anywhere to such a folder.
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "__init__.py").touch()
    (tmp_path / "deployments" / "jobs.py").touch()
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl.py").write_text("from prefect import flow\n\n@flow\ndef load(): ...\n")

    ours, hers = run(installed, tmp_path, "python", "-c", EVERYTHING_AND_HERS).splitlines()

    assert ours == "set()"
    # Nobody keeps files beside installed code.
    assert hers == f"load deployments.jobs {tmp_path / 'home' / '.vibecheck'}"
