# The types of the public names, which `__init__.py` loads when somebody asks for them.

from target_liveintent.config import SETTINGS_SCHEMA, problems, settings_of
from target_liveintent.errors import RunError
from target_liveintent.reasons import REASONS
from target_liveintent.sandbox import Sandbox
from target_liveintent.target import TargetLiveIntent

__all__ = [
    "REASONS",
    "SETTINGS_SCHEMA",
    "RunError",
    "Sandbox",
    "TargetLiveIntent",
    "problems",
    "settings_of",
]
__version__: str
