"""The files that a run writes, apart from its reports: dead letters, delivered events, ledger."""
