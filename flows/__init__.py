"""Everything that runs inside a flow run: the flows, the source, the database, the log and the health rules."""
