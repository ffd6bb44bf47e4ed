"""The health endpoint and the status page, from the database alone."""
