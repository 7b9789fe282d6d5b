"""Reports on a run: progress, metrics, the summary in the log, and the run report."""
