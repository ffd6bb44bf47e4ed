"""An empty job of APScheduler, as a side of `benchmarks.run_starts`: no process, no server, nothing kept of it."""

import importlib
import threading
import time
from datetime import UTC
from typing import Any

from benchmarks.sides import answer

JOBS = 1000


async def measure(_case: str) -> float:
    """The CPU milliseconds of a job that is due at once."""
    background: Any = importlib.import_module("apscheduler.schedulers.background")
    scheduler = background.BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
    scheduler.start()
    done = threading.Semaphore(0)
    began = time.process_time()
    for _ in range(JOBS):
        scheduler.add_job(done.release)
    for _ in range(JOBS):
        done.acquire()
    used = time.process_time() - began
    scheduler.shutdown()
    return 1000 * used / JOBS


if __name__ == "__main__":
    answer(measure)
