"""`python -m target_liveintent` is the same as the command `target-liveintent`."""

from target_liveintent.target import TargetLiveIntent

TargetLiveIntent.cli()
