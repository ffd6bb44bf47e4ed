"""The wait between two attempts, as the log tells it."""

import random

import pytest
from prefect.utilities.math import clamped_poisson_interval

from flows.polling.retries import BACKOFF_SECONDS, JITTER_FACTOR, delay_bounds


@pytest.mark.parametrize("seconds", BACKOFF_SECONDS)
def test_the_event_bounds_the_delay_that_prefect_draws(seconds: float) -> None:
    random.seed(7)
    shortest, longest = delay_bounds(seconds)
    drawn = [clamped_poisson_interval(seconds, JITTER_FACTOR) for _ in range(2_000)]
    assert shortest <= min(drawn) <= max(drawn) <= longest
    assert min(drawn) < shortest * 1.1
    assert max(drawn) > longest * 0.95
