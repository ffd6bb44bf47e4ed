"""docs/monitoring.md explains every message and every automation that there is."""

from deployments.server.automations import load
from flows.monitoring.alarms.messages import WORDS
from tests.support.prefect_server import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "docs" / "monitoring.md").read_text()


def test_every_message_is_explained() -> None:
    missing = [words for words in WORDS.values() if f"… {words}" not in TEXT and f"pipeline_status {words}" not in TEXT]
    assert missing == []
    assert "has recovered" in TEXT


def test_every_automation_that_acts_by_itself_is_named() -> None:
    on = [entry for entry in load() if entry.get("enabled", True) and "tell of" not in entry["name"]]
    names = [entry["name"].removeprefix("VibeCheck: ").split(" $")[0] for entry in on]
    assert names == ["silent job", "silent watchdog", "late runs are missed", "lost runs are crashed"]
    assert [name for name in names if name not in TEXT] == []
