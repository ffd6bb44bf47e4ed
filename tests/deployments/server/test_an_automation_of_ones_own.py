"""The automation that docs/monitoring.md shows: on a real server it sends what our events say."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient

from deployments.server.notifications import apprise_block
from flows.monitoring.alarms.events import emit, event_of
from flows.monitoring.alarms.links import Links
from flows.monitoring.alarms.notices import notice_of
from flows.monitoring.verdicts.stored import TransitionRow
from tests.support.prefect_server import PROJECT_ROOT, PrefectServer, wait_until
from tests.support.receiver import running_receiver

pytestmark = pytest.mark.end_to_end


async def test_the_automation_of_the_docs_sends_what_our_events_say(
    prefect: PrefectServer, client: PrefectClient, tmp_path: Path
) -> None:
    documents = re.findall(r"```yaml\n(.*?)```", (PROJECT_ROOT / "docs" / "monitoring.md").read_text(), flags=re.DOTALL)
    (shown,) = (document for document in documents if "\ntrigger:" in document)
    now = datetime.now(UTC)
    change = TransitionRow(
        id=now.microsecond,
        job_name="nightly_report",
        from_status="healthy",
        to_status="unhealthy",
        reason="failing",
        at=now,
        noticed_at=now,
        details={"last_error": "It broke."},
        event_emitted_at=None,
    )
    notice = notice_of([change], now, Links(deployments={}))
    with running_receiver() as receiver:
        block_id = await apprise_block(receiver.apprise_url).asave("news-desk", overwrite=True)
        file = tmp_path / "mine.yaml"
        file.write_text(shown.replace("00000000-0000-0000-0000-000000000000", str(block_id)))
        prefect.command("prefect", "automation", "create", "--from-file", str(file))
        assert "the night desk hears of nightly_report" in [each.name for each in await client.read_automations()]
        await emit(client, [event_of(change, notice, "VibeCheck staging")])
        wait_until(lambda: receiver.subjects, seconds=60, what="the message")
    (subject,) = receiver.subjects
    assert re.fullmatch(r"VibeCheck staging: nightly_report has been failing since \d\d:\d\d UTC", subject)
    assert "Last error: It broke." in receiver.bodies[0]
