"""Where to look: the pages of Prefect's UI."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass(frozen=True, kw_only=True)
class Links:
    """Where to look, on Prefect's pages; `ui_url` is empty where that is not known."""

    ui_url: str = ""
    deployments: Mapping[str, str] = field(default_factory=dict[str, str])
    """The identifier of each job's deployment, by the job's name."""

    def job(self, job_name: str) -> str | None:
        """Link to the page of the job's deployment."""
        identifier = self.deployments.get(job_name)
        return f"{self.ui_url}/deployments/deployment/{identifier}" if self.ui_url and identifier else None

    def run(self, run_id: str) -> str | None:
        """Link to the page of a run."""
        return f"{self.ui_url}/runs/flow-run/{run_id}" if self.ui_url and run_id else None

    def work_pool(self, name: str) -> str | None:
        """Link to the page of a work pool."""
        return f"{self.ui_url}/work-pools/work-pool/{quote(name, safe='')}" if self.ui_url else None
