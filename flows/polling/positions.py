"""Positions in the database: one cursor for each job and scope."""
