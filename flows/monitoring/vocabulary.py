"""The words of the monitoring: each is spelled once, here. They are stored in the database and told by the endpoint."""

from enum import StrEnum

# The flow that repairs the log, judges the jobs and tells people: the job that watches the others.
STATUS_FLOW = "pipeline_status"
# The tag of the deployments that are watched.
MONITORED_TAG = "monitored"
# The further tag of those in whose runs the monitoring may interfere: it cancels late ones and ends lost ones.
SUPERVISED_TAG = "supervised"
# The automations that do so on the server: switched off there, the status flow does not do it either.
OWNER = "vibecheck.pipeline"
LATE_RUNS = "VibeCheck: late runs are missed"
LOST_RUNS = "VibeCheck: lost runs are crashed"

# What the names of our events and of the resources that they are about begin with.
JOB = "vibecheck.job."


class JobEvent(StrEnum):
    """What the server hears of a job."""

    FINISHED = f"{JOB}finished"
    SKIPPED = f"{JOB}skipped"
    JUDGED = f"{JOB}judged"
    """The status flow has looked at it."""
    EXPECTED = f"{JOB}expected"
    """It is expected to work from then on: the server's timers start again."""
    OVERDUE = f"{JOB}overdue"
    """It became unhealthy, for any reason that has no event of its own."""
    FAILING = f"{JOB}failing"
    STUCK = f"{JOB}stuck"
    RECOVERED = f"{JOB}recovered"
    HEALTHY = f"{JOB}healthy"
    """It became healthy, or is warned of, without an outage before."""
    NOT_STARTED = f"{JOB}not_started"
    PAUSED = f"{JOB}paused"


class Status(StrEnum):
    """What the log says of a run, or of a tick that had none."""

    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL_FAILURE = "partial_failure"
    FAILURE = "failure"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    MISSED = "missed"


class Writer(StrEnum):
    """Who has closed a row. The further down, the more it is believed.

    The flow commits its outcome together with its data, a hook knows Prefect's final state, the reconciler only what is
    left of it.
    """

    RECONCILER = "reconciler"
    HOOK = "hook"
    FLOW = "flow"


class RowReason(StrEnum):
    """Why a run came to what its row says, as far as Prefect tells. A flow may return reasons of its own."""

    MISFIRE = "misfire"
    """It would have started too late."""
    OVERLAP = "overlap"
    """The run before it was still going."""
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """It cannot be alive any more, or the server no longer has it."""
    NO_RUN = "no_run"
    """The tick never had a run."""


class Verdict(StrEnum):
    """What a job is."""

    HEALTHY = "healthy"
    NOT_STARTED = "not_started"
    UNHEALTHY = "unhealthy"
    PAUSED = "paused"


class Reason(StrEnum):
    """Why a job is unhealthy."""

    NOT_STARTED = "not_started"
    OVERDUE = "overdue"
    STUCK = "stuck"
    FAILING = "failing"
    NO_WORKER = "no_worker"
    NO_SUCCESS = "no_success"
    NO_SCHEDULE = "no_schedule"
    """Its deployment had a schedule, has none any more, and nobody paused it."""
    BAD_SCHEDULE = "bad_schedule"
    """Its schedule cannot be computed, so that Prefect plans nothing."""
    STALE = "stale"
    """The status flow's own: it was silent, so that nobody judged."""


class WarningCode(StrEnum):
    """What deserves a look, though it does not make a job unhealthy."""

    STALE_DATA = "stale_data"
    BUDGET = "budget"
    FEATURE_OFF = "feature_off"
    MEASURE = "measure"
    NO_PLANNED_RUNS = "no_planned_runs"
    WRONG_TAG = "wrong_tag"
    LOST_SCHEDULE = "lost_schedule"
    """Its deployment has lost one of several schedules."""


# Those of which people are told, once: the first that holds.
TOLD_WARNINGS = (WarningCode.FEATURE_OFF, WarningCode.LOST_SCHEDULE)
