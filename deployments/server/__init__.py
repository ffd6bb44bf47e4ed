"""What is put on a Prefect server: automations, work pools, and Prefect's own settings."""
