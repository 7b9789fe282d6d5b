"""The run report: what a run delivered and what it did not, as a page and as JSON."""
