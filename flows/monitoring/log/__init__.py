"""The execution log: what became of each tick of each job, in one table that can be trusted."""
