"""Hashing, redaction and suppression: no address and no token leaves this machine.

`redact_columns` says what dead letters may contain, `without_secrets` what log lines and reports
may contain; both replace addresses with `scrub`.
"""
