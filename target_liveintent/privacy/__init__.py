"""Hashes addresses, removes secrets from texts and log lines, and reads suppression lists."""
