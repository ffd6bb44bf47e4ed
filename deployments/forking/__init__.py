"""Runs that start warm: `vibecheck worker` forks them from a process that has everything imported.

| module | process | what |
|--|--|--|
| `starter` | worker | decides for each run: forked from a template, or started as Prefect does |
| `prefect_seam` | worker | what that needs of Prefect's inside |
| `templates`, `forked_process` | worker | start templates, ask them for runs, watch the runs |
| `template`, `sources` | template | import everything, prove that it may fork, fork |
| `forked_run` | run | from the fork to the end of the run's process |
| `own_fork` | run | how the run forks processes of its own |
| `plain_http` | worker and run | no TLS contexts for a server at `http://` |
"""
