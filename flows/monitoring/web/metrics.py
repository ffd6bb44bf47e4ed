"""The health report as metrics in Prometheus' text format: what `GET /metrics` answers.

Names and units follow Prometheus' advice for batch jobs: a time is in seconds since 1970, so that a rule compares it
with `time()`, and what is not known has no sample. The label is `job_name`, as Prometheus keeps `job` for what it asks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily

from flows.monitoring.alarms.audience import Audience
from flows.monitoring.verdicts.report import Report
from flows.monitoring.vocabulary import Verdict

CONTENT_TYPE = CONTENT_TYPE_LATEST


def metrics_of(report: Report, audience: Audience) -> str:
    """Tell the verdicts of this moment, with names of jobs, owners and receivers; no error messages, no addresses."""
    return generate_latest(_Metrics(report, audience)).decode()


@dataclass(frozen=True)
class _Metrics:
    report: Report
    audience: Audience

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield what prometheus_client asks for."""
        is_healthy = self.report.overall.verdict == Verdict.HEALTHY
        yield GaugeMetricFamily("vibecheck_healthy", "1 while /health/scheduler answers 200, else 0.", is_healthy)
        yield self._info()

        jobs, budgets = self.report.jobs, self.report.budgets
        healthy = {name: job.judgement.verdict != Verdict.UNHEALTHY for name, job in jobs.items()}
        yield _family("job_healthy", "0 while the job is unhealthy, else 1.", "job_name", healthy)
        silenced = {name: self.audience.silence_of(name) is not None for name in jobs}
        yield _family("job_silenced", "1 while people are not told of the job, else 0.", "job_name", silenced)
        succeeded = {name: job.facts.last_success for name, job in jobs.items()}
        yield _times("job_last_success", "When its last successful run ended.", "job_name", succeeded)
        started = {name: job.facts.last_run for name, job in jobs.items()}
        yield _times("job_last_run", "When its last run started.", "job_name", started)
        due = {name: job.next_tick for name, job in jobs.items()}
        yield _times("job_next_run", "When it is due next; in the past while that run is awaited.", "job_name", due)

        yield _family("budget_used", "What is spent.", "budget", {budget.name: budget.used for budget in budgets})
        yield _family("budget_limit", "What may be spent.", "budget", {budget.name: budget.limit for budget in budgets})
        refusing = {refusal.receiver: refusal.since for refusal in self.audience.refusals}
        yield _times("receiver_refusing_since", "Since when a receiver takes no alarms.", "receiver", refusing)

    def _info(self) -> GaugeMetricFamily:
        labels = ("job_name", "verdict", "reason", "owner", "severity")
        family = GaugeMetricFamily("vibecheck_job_info", "Always 1: what its labels say of the job.", labels=labels)
        for name, job in self.report.jobs.items():
            judgement, tags = job.judgement, job.expected.tags
            values = (name, judgement.verdict, judgement.reason or "", tags.owner or "", tags.severity or "")
            family.add_metric(values, 1)
        return family


def _times(name: str, help_text: str, label: str, values: Mapping[str, datetime | None]) -> GaugeMetricFamily:
    known = {key: moment.timestamp() for key, moment in values.items() if moment is not None}
    return _family(f"{name}_timestamp_seconds", help_text, label, known)


def _family(name: str, help_text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"vibecheck_{name}", help_text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family
