"""Hashing, redaction and suppression: no address and no token leaves this machine."""
