"""Entry point of `python -m target_liveintent.sandbox`, equivalent to `liveintent-sandbox`."""

from __future__ import annotations

from target_liveintent.sandbox.command import main

main(prog_name="liveintent-sandbox")
