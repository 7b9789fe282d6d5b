"""Hashing, redaction and suppression: no address and no token leaves this machine.

- `identity` hashes addresses; its `scrub` replaces the addresses in a text with hashes.
- `urls` removes credentials and addresses from page URLs.
- `redaction` says what dead letters may contain: `redact_columns`, which uses `scrub`.
- `logs` says what log lines and reports may contain: `without_secrets`, which uses `scrub` and
  hides the token.
- `suppression` reads the list of people who must not be sent.
"""
