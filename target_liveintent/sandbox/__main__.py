"""`python -m target_liveintent.sandbox`: the same as `liveintent-sandbox`."""

from __future__ import annotations

import sys

from target_liveintent.sandbox.cli import main

sys.exit(main())
