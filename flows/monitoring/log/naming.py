"""What a run is called in `prefect flow-run ls` and in the UI."""

from prefect.runtime import flow_run


def run_name() -> str:
    """The job and the time it was due, such as `poll_news 23 Nov 19:15`."""
    return f"{flow_run.flow_name} {flow_run.scheduled_start_time:%d %b %H:%M}"
