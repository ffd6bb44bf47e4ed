"""The monitoring: a log of every run and tick of any Prefect deployment, a verdict on each job, and who is told."""
