"""Runs the command `target-liveintent` as `python -m target_liveintent`."""

from target_liveintent.start import start

start()
