"""Two receivers of alarms."""

from collections.abc import Iterator

import pytest

from tests.support.receiver import Receiver, running_receiver


@pytest.fixture
def everybody() -> Iterator[Receiver]:
    """The default receiver."""
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def data() -> Iterator[Receiver]:
    """The receiver of an owner."""
    with running_receiver() as receiver:
        yield receiver
