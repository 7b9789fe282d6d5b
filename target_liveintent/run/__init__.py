"""The accounts of a run."""
