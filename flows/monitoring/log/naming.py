"""What jobs and their runs are called."""

from datetime import UTC, tzinfo

from prefect.runtime import flow_run
from pydantic import ValidationError

from flows.settings import MonitoringSettings

# A deployment of this name bears the name of its flow.
DEFAULT_DEPLOYMENT = "scheduled"


def job_name_of(flow: str, deployment: str) -> str:
    """Return the job's name, which depends on nothing else that is deployed: `flow`, or `flow/deployment`."""
    return flow if deployment == DEFAULT_DEPLOYMENT else f"{flow}/{deployment}"


def run_name() -> str:
    """Name a run in Prefect's UI by the flow and the time it was due, such as `poll_news 23 Nov 19:15 UTC`."""
    return f"{flow_run.flow_name} {flow_run.scheduled_start_time.astimezone(_zone()):%d %b %H:%M %Z}"


def _zone() -> tzinfo:
    try:
        return MonitoringSettings().zone()
    # It must not end a flow of another project; whoever needs the settings says what is wrong.
    except (ValidationError, UnicodeDecodeError):
        return UTC
