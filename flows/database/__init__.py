"""What any table needs: engine, base, types, upserts, clock and migrations. The tables stand with those whose they are.

Functions take an `AsyncConnection` and leave the transaction to the caller, so that rows, cursor and log row commit
together or not at all.
"""
