"""The pings that a watcher outside gets."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from flows.monitoring.alarms.ping import watched_from_outside
from flows.settings import Settings
from tests.support.receiver import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


async def test_a_watcher_outside_is_pinged_at_the_start_and_at_the_end(receiver: Receiver) -> None:
    pinged = Settings.model_validate({"ping_url": receiver.http_url})
    run_id = uuid4()
    async with watched_from_outside(pinged, run_id) as watch:
        watch.summary = "Jobs: 3 healthy."
    assert [(each.path, each.body) for each in receiver.accepted] == [
        (f"/ping/secret-uuid/start?rid={run_id}", ""),
        (f"/ping/secret-uuid?rid={run_id}", "Jobs: 3 healthy."),
    ]


async def test_a_watcher_outside_hears_of_failures_and_refusals(receiver: Receiver) -> None:
    pinged = Settings.model_validate({"ping_url": receiver.http_url})
    with pytest.raises(RuntimeError):
        async with watched_from_outside(pinged):
            raise RuntimeError("secret")
    async with watched_from_outside(pinged) as watch:
        watch.summary, watch.is_trouble = "poll_news is overdue", True
    failures = [each.body for each in receiver.accepted if each.path.endswith("/fail")]
    assert failures == ["The status flow failed: RuntimeError", "poll_news is overdue"]


async def test_a_lost_ping_disturbs_nothing_and_names_no_address(
    receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    for address in (receiver.http_url, "http://127.0.0.1:9/secret-uuid"):
        async with watched_from_outside(Settings.model_validate({"ping_url": address})):
            pass
    output = "".join(capfd.readouterr())
    assert output.count("ping_refused") == output.count("ping_failed") == 2
    assert "secret-uuid" not in output
