"""The store: which events were delivered, the dead letters, and the history of runs."""
