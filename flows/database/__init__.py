"""The pipeline's database: tables, connections, migrations, and every statement of SQL that the pipeline has.

Functions take an `AsyncConnection` and leave the transaction to the caller, so that rows, cursor and log row commit
together or not at all.
"""
