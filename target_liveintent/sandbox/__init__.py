"""A local stand-in for LiveIntent's Conversions API, for tests and experiments.

It checks what the API checks, keeps the events that it accepts, and fails on request. It shares no
code with the rest of the package, so that each of them reveals the other's mistakes.

`Sandbox` needs the extra `sandbox`. It is imported on first use, so that the command line can say
how to install the extra when it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from target_liveintent.sandbox.server import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> object:
    """Import `Sandbox` on first use."""
    if name != "Sandbox":
        raise AttributeError(name)
    from target_liveintent.sandbox.server import Sandbox  # noqa: PLC0415 - see the module

    return Sandbox
