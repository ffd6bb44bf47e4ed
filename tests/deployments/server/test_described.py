"""What is wrong with the project's own files is said before anything is started."""

from pathlib import Path

import pytest

from deployments.commands.tracked_entities import tracked_entities
from deployments.failures import CommandFailed
from deployments.server import described

DEPLOYMENT = """
deployments:
  - name: scheduled
    entrypoint: own_flows.nightly.nightly
    work_pool: {name: own}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one flow."""
    monkeypatch.setattr(described, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(described, "PREFECT_FILE", tmp_path / "prefect.yaml")
    (tmp_path / "prefect.yaml").write_text(DEPLOYMENT)
    (tmp_path / "own_flows").mkdir()
    (tmp_path / "own_flows" / "nightly.py").write_text("def nightly():\n    pass\n")
    return tmp_path


def test_a_project_that_makes_sense_is_taken(project: Path) -> None:
    described.check_described()
    (project / "own_flows" / "nightly.py").unlink()
    described.check_described()  # where it is, Prefect knows


def test_a_flows_file_that_is_not_python_is_named_with_its_line(project: Path) -> None:
    (project / "own_flows" / "nightly.py").write_text("\n\ndef nightly(:\n")
    with pytest.raises(CommandFailed, match=r"own_flows/nightly\.py, line 3: invalid syntax\.$"):
        described.check_described()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEPLOYMENT + "  - name: [broken", "while parsing"),
        (DEPLOYMENT + "  - name: other", "each of its deployments needs an entrypoint, and a work_pool with a name"),
        ("", "each of its deployments needs"),
    ],
)
def test_a_prefect_yaml_that_cannot_be_used_says_why(project: Path, text: str, said: str) -> None:
    (project / "prefect.yaml").write_text(text)
    with pytest.raises(CommandFailed, match=rf"prefect\.yaml cannot be \w+: {said}"):
        described.check_described()


def test_a_broken_list_of_entities_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tracked.toml").write_text("name = = 3")
    monkeypatch.setattr("flows.entities.tracked.load_tracked.__defaults__", (tmp_path / "tracked.toml",))
    with pytest.raises(CommandFailed, match=r"(?s)tracked\.toml cannot be used:\n  not valid TOML: Invalid value"):
        tracked_entities()
