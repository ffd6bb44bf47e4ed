"""How long each part of a polling run may take. They fit into each other: docs/bounds.md, tests/polling/test_bounds.py.

1. No page is begun `PAGING_SECONDS` after the run began: what remains is the next run's.
2. A page takes `PAGE_SECONDS` at the most, over all its attempts: another attempt is made only if it can end in time.
   That is short enough for the page after it to be begun, so that a page which drips in is stepped over.
3. So the last page ends well before `RUN_SECONDS`, at which the flow is stopped; the rest is for the database.
4. A run and its one retry end before the next tick.
"""

PAGE_SECONDS = 130.0
PAGING_SECONDS = 170.0
RUN_SECONDS = 400
RUN_RETRIES = 1
RUN_RETRY_DELAY_SECONDS = 30
