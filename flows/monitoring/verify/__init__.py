"""The proof that the log is complete: ticks against runs against rows."""
