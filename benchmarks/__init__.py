"""The benchmarks. `scripts/benchmark` runs them; docs/performance.md explains them."""

PIXEL_ID = 12345
"""The pixel ID of all events that the benchmarks send."""
