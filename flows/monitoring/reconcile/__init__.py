"""The reconciler: what Prefect knows of the jobs' runs and the log lacks is filled in."""
