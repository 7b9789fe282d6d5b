"""A local stand-in for LiveIntent's Conversions API, for tests and experiments.

The sandbox checks what the API checks, keeps the events that it accepts, and fails on request. It
shares no code with the rest of the package, so tests with the sandbox find mistakes in both.
"""

import contextlib

with contextlib.suppress(ModuleNotFoundError):  # The command line says how to install the extra.
    from target_liveintent.sandbox.server import Sandbox

__all__ = ["Sandbox"]
