"""Runs: planning, units of work, executors, verdicts, and the folder that holds the results."""
