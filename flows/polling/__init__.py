"""What the polling jobs share: windows and cursors, the page loop, the request budget, retries, statistics."""
