"""The polls without Prefect's server."""

from uuid import uuid4

import pytest

from flows.polling import artifacts


@pytest.fixture(autouse=True)
def no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a client for a server that is not there takes longer than a poll."""

    async def nothing(**_arguments: object) -> object:
        return uuid4()

    monkeypatch.setattr(artifacts, "acreate_progress_artifact", nothing)
    monkeypatch.setattr(artifacts, "aupdate_progress_artifact", nothing)
