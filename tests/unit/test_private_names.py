"""Every private name of another project that the package uses: a new version may lack it."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

import target_liveintent

PACKAGE = Path(target_liveintent.__file__).parent
SDK = "singer_sdk.plugin_base:PluginBase"
TARGET = "singer_sdk.target_base:Target"
OF_MESSAGES = "target.py: the target handles this kind of message by itself"
USED = {
    "singer_sdk._logging:_setup_console_logging": "cli.py: logs as every target does",
    "singer_sdk.plugin_base:_plugin_log_level": "cli.py: at the level of the environment",
    "singer_sdk.helpers._classproperty:classproperty": "target.py: defines _env_var_config",
    f"{SDK}._env_var_config": "target.py: cli.py reads the environment, and knows each type",
    f"{SDK}._validate_config": "target.py: messages of config.py show no value",
    f"{SDK}._setup_signal_handlers": "target.py: only a run takes signals",
    f"{TARGET}._handle_termination": "target.py: a stopped run delivers what it has read",
    f"{TARGET}._process_schema_message": OF_MESSAGES,
    f"{TARGET}._process_batch_message": OF_MESSAGES,
    f"{TARGET}._process_state_message": OF_MESSAGES,
    f"{TARGET}._process_activate_version_message": OF_MESSAGES,
    "urllib3:HTTPConnectionPool._new_conn": "transport.py: makes connections by the user's proxy",
    "urllib3.connection:HTTPConnection._new_conn": "transport.py: one deadline for all addresses",
    "http.client:HTTPResponse._read_status": "transport.py: the status of a proxy's refusal",
}
"""Where and why each is used, by its name."""
MODULES = ("cli", "delivery.transport", "singer.reader", "sinks", "target")
"""Those with classes that inherit from other packages."""


@pytest.mark.parametrize("name", USED)
def test_it_is_still_there(name: str) -> None:
    owner, last = re.split(r"[:.](?=\w+$)", name)
    try:
        found = dir(resolve_name(owner))
    except (AttributeError, ImportError):
        found = []
    assert last in found, f"{name} is gone. {USED[name]}"


def _overridden() -> Iterator[str]:
    """Yield the private names of other packages to which a class gives a meaning of its own."""
    modules = [importlib.import_module(f"target_liveintent.{name}") for name in MODULES]
    for kind in [kind for module in modules for kind in vars(module).values()]:
        if isinstance(kind, type) and kind.__module__.startswith("target_liveintent"):
            for name in filter(re.compile("_(?!abc_impl)[a-z].*[^_]$").match, vars(kind)):
                above = [base for base in kind.__mro__[1:] if name in vars(base)]
                yield from (f"{base.__module__}:{base.__qualname__}.{name}" for base in above[:1])


def test_all_are_listed() -> None:
    """Those that are imported, those that are read (as ruff demands a remark), and overrides."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    imports = re.findall(r"^ *from (?!target_liveintent)(.*\b_[a-z].*)$", text, re.MULTILINE)
    imported = {line.replace(" import ", ":") for line in imports}
    remarked = " ".join(re.findall(".*# noqa: SLF001", text))
    read = set(re.findall(r"(?<!self)\.(_[a-z]\w*)", remarked))
    assert imported | set(_overridden()) <= set(USED)
    assert read <= {name.rpartition(".")[2] for name in USED}
