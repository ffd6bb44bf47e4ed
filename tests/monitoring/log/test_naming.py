"""What a run is called."""

import pytest

from flows.monitoring import run_name


@pytest.mark.parametrize(
    ("variable", "value", "zone"),
    [
        ("VIBECHECK_MONTHLY_CREDITS", "20000", "JST"),
        ("VIBECHECK_LOG_LEVEL", "loud", "UTC"),
        ("ASKNEWS_API_URL", "not an address", "JST"),
    ],
    ids=["configured", "a wrong setting ends no run", "a wrong setting of the polls changes no name"],
)
def test_a_runs_name_tells_its_time_in_the_configured_zone(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, zone: str
) -> None:
    monkeypatch.setenv("VIBECHECK_TIMEZONE", "Asia/Tokyo")
    monkeypatch.setenv(variable, value)
    assert run_name().endswith(zone)
