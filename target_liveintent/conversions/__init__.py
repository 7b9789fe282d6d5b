"""The event model, and the builder that makes events from mapped records."""
