"""The jobs: which deployments are watched, what is expected of each, and when each is due."""
