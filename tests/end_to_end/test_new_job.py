"""The README's new job in ten lines, taken from the README: the tag `monitored` is all that it needs."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.conftest import Pipeline
from tests.support.prefect_server import PROJECT_ROOT

pytestmark = pytest.mark.end_to_end


def readme_block(language: str, containing: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", (PROJECT_ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if containing in block]
    return block


def test_a_third_flow_gets_log_verdict_and_alarm_by_its_tag(pipeline: Pipeline, tmp_path: Path) -> None:
    package = tmp_path / "jobs"
    package.mkdir()
    (package / "count_articles.py").write_text(readme_block("python", "count_articles"))
    pipeline.prefect.environment["PYTHONPATH"] = str(package)
    entry = readme_block("yaml", "count_articles").replace("flows.count_articles.", "count_articles.")
    prefect_file = tmp_path / "prefect.yaml"
    prefect_file.write_text((PROJECT_ROOT / "prefect.yaml").read_text() + "\n" + entry)
    assert len(yaml.safe_load(prefect_file.read_text())["deployments"]) == 4

    pipeline.prefect.command("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_file))
    pipeline.prefect.command("deployments", "apply")
    pipeline.postpone_ticks()
    pipeline.prefect.start_worker("vibecheck")
    row = pipeline.wait_for_row(pipeline.run("count_articles/scheduled"))
    assert (row["job_name"], row["status"]) == ("count_articles", "success")

    names = {automation["name"] for automation in pipeline.prefect.api("automations/filter")}
    assert any("count_articles" in name for name in names)
    status = json.loads(pipeline.prefect.command("deployments", "status", "--json", check=False).stdout)
    assert status["jobs"]["count_articles"]["status"] == "healthy"
    assert status["jobs"]["poll_news"]["status"] == "not_started"
