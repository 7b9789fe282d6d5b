"""The event model, and the builder that makes events of mapped records."""
