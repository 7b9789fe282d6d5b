"""A local stand-in for LiveIntent's Conversions API, to test and try things against.

It checks what the API checks, keeps what it accepted, and can be told to fail. It shares no
code with the rest of the package, so that each finds the other's mistakes.

`Sandbox` needs the extra `sandbox` and is imported when first asked for: the command line can
then say how to install what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from target_liveintent.sandbox.server import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> object:
    """Import `Sandbox` on first use."""
    if name == "Sandbox":
        from target_liveintent.sandbox.server import Sandbox  # noqa: PLC0415 - see the module

        return Sandbox
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
