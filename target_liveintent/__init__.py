"""A Singer target that delivers conversion events to LiveIntent's Conversions API.

Other programs import the names that docs/reference/python.md lists. Each name's module is
loaded on first use, so a run loads only what it needs. The types are in `__init__.pyi`.
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
"""The module of each public name."""
__all__ = [*_MODULES]  # noqa: PLE0604 (texts)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        msg = f"module '{__name__}' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
