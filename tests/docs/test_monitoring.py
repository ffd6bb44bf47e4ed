"""docs/monitoring.md explains every message and every automation that there is."""

import re

from deployments.server.expansion import load
from flows.monitoring.alarms.notices import SINCE
from tests.docs.linked_tests import linked_tests, missing
from tests.support.prefect_server import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "docs" / "monitoring.md").read_text()


def test_every_message_is_explained() -> None:
    assert [words for words in SINCE.values() if f"… {words} …" not in TEXT] == []
    assert "… recovered" in TEXT
    assert "pipeline_status was silent" in TEXT


def test_every_automation_is_named() -> None:
    on = [entry for entry in load() if not re.search("tell of|remind", entry["name"])]
    names = [entry["name"].removeprefix("VibeCheck: ").split(" $")[0] for entry in on]
    assert names == ["silent job", "silent watchdog", "late runs are missed", "lost runs are crashed"]
    assert [name for name in names if name not in TEXT] == []


def test_each_feature_leads_to_a_test_that_is_there() -> None:
    links = linked_tests(TEXT)
    assert len(links) > 10
    assert missing(links) == []
