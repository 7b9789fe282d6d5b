"""A Singer target that delivers conversion events to LiveIntent's Conversions API."""

__version__ = "0.1.0"
