"""Entry point of `python -m target_liveintent.sandbox`, equivalent to `liveintent-sandbox`."""

from __future__ import annotations

import sys

from target_liveintent.sandbox.cli import main

sys.exit(main())
