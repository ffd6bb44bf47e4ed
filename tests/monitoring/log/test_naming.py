"""What a run is called."""

import pytest

from flows.monitoring import run_name
from flows.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "value", "zone"),
    [("VIBECHECK_TIMEZONE", "Asia/Tokyo", "JST"), ("VIBECHECK_LOG_LEVEL", "loud", "UTC")],
    ids=["configured", "a wrong setting ends no run"],
)
def test_a_runs_name_tells_its_time_in_the_configured_zone(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, zone: str
) -> None:
    monkeypatch.setenv(variable, value)
    load_settings.cache_clear()
    assert run_name().endswith(zone)
