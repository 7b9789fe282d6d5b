"""How a record of a tap becomes a record with the columns of an event."""
