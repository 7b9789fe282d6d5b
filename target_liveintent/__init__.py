"""A Singer target that delivers conversion events to LiveIntent's Conversions API.

Other programs import the names that docs/reference/python.md lists. The module of a name is
loaded when the name is first used, so a run loads only what it needs. `__init__.pyi` has the types.
"""

import importlib

__version__ = "0.1.0"
_MODULES = {
    "REASONS": "reasons",
    "SETTINGS_SCHEMA": "config",
    "RunError": "errors",
    "Sandbox": "sandbox",
    "TargetLiveIntent": "target",
    "problems": "config",
    "settings_of": "config",
}
"""The module that defines each public name."""
__all__ = [*_MODULES]  # noqa: PLE0604 (texts)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
