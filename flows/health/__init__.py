"""Whether the jobs do what is expected of them: the rules, the schedules they are measured by, and the report."""
