"""How batches reach the Conversions API."""
