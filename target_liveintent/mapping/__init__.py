"""Maps the records of a tap to the columns of an event."""
