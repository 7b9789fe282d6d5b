"""The benchmarks of this project: `scripts/benchmark` runs them, docs/performance.md explains."""

PIXEL_ID = 12345
"""Of all events that are sent."""
