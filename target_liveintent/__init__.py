"""A Singer target that delivers conversion events to LiveIntent's Conversions API."""
