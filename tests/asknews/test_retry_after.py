"""How long an answer asks to wait: seconds, or a date by the server's own clock."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from flows.asknews.responses import LONGEST_RETRY_AFTER, retry_after_of

NOW = datetime(2026, 9, 7, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("99999999999", LONGEST_RETRY_AFTER),
        ("9" * 400, LONGEST_RETRY_AFTER),
        ("-5", None),
        ("1e3", None),
        ("NaN", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("5, 7", None),
        ("\u0663", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=3), usegmt=True), 0.0),
        ("Mon Sep  7 22:00:30 2026", 30.0),
        ("Mon, 07 Sep 2199 22:00:00 GMT", LONGEST_RETRY_AFTER),
        ("Mon, 07 Sep 99999 22:00:00 GMT", None),
        ("Mon, 07 Sep 2026 22:00:00 +9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(sent: str, seconds: float | None) -> None:
    assert retry_after_of(httpx.Headers([(b"retry-after", sent.encode())]), NOW) == seconds


def test_no_retry_after_is_none() -> None:
    assert retry_after_of(httpx.Headers(), NOW) is None


def test_a_date_is_relative_to_the_servers_clock_and_not_to_ours() -> None:
    sent = {
        "Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True),
        "Date": format_datetime(NOW, usegmt=True),
    }
    assert retry_after_of(httpx.Headers(sent), NOW + timedelta(hours=5)) == 90.0
