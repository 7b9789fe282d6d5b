"""Reports on a run: progress, metrics, the summary in the log, the history, and its page."""
