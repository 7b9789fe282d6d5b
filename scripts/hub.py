"""Generates the target's definition for Meltano from the settings.

`meltano add --from-ref` reads the definition for Meltano Hub. A project that names the target by
its variant reads the same definition from a lock file. `scripts/generate.py` writes the files.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from target_liveintent.config import SETTINGS_SCHEMA
from target_liveintent.target import TargetLiveIntent

ROOT = Path(__file__).parents[1]
NAME = "target-liveintent"
_ABOUT = metadata.metadata(NAME)
REPOSITORY = _ABOUT["Project-URL"].removeprefix("Homepage, ")
"""The URL of the repository, from pyproject.toml."""
PIP_URL = f"{NAME}@git+{REPOSITORY}"
"""What pip installs: the repository, until the first release is on the package index."""
ACCOUNT, _, _ = REPOSITORY.rpartition("/")
MAINTAINER = ACCOUNT.rpartition("/")[2]
"""The owner of the repository, which is also the name of the variant in the Hub."""
FILES = f"{REPOSITORY}/raw/main"
DEFINITION = "hub/target-liveintent.yml"
MAINTAINERS = "hub/maintainers.yml"
LOCK = f"plugins/loaders/{NAME}--{MAINTAINER}.lock"

HUB_LOGO = "/assets/logos/loaders/liveintent.svg"
"""The path of the logo; the Hub's site loads logos only from this folder."""

# Tools that generate definitions treat a text with one of these words in its name as a secret, even
# `customer_id`. So each of these settings states whether it is a secret.
_LOOKS_SECRET = ("id", "key", "password", "secret", "token")
_ACRONYMS = ("api", "id", "url")

_SETTINGS_PREAMBLE = """\
A run needs `customer_id` and a token: `auth_token`, or a file with it, `auth_token_path`. Most
projects also set `pixel_id`, and a preset or a stream map that says which records are conversions.
All other settings have defaults that suit an hourly run.
"""
_USAGE = f"""\
### See what would be sent, before anything is sent

```sh
meltano invoke <tap> > records.singer
meltano invoke target-liveintent:explain < records.singer
```

For each stream, the command says which events the records become, and what is rejected and why.

### Records that could not be sent

The store, `liveintent.sqlite` by default, keeps these records as dead letters with their reasons.

```sh
meltano invoke target-liveintent:dead-letters
meltano invoke target-liveintent:replay --dry-run
meltano invoke target-liveintent:replay
```

The first command shows the dead letters and what to do. The last command sends the dead letters
that can be sent now, and keeps all others. See the documentation: {REPOSITORY}#readme
"""
_NEXT_STEPS = (
    "Say which of the tap's streams are conversions: a preset (`presets: {orders: shopify}`) or a"
    " stream map, and `__else__: __NULL__` in `stream_maps` so that no other stream is sent. Then"
    " `TARGET_LIVEINTENT_DRY_RUN=true meltano run <tap> target-liveintent` shows the first events,"
    " and sends nothing."
)


# Meltano passes no configuration to a command, but the settings are in its environment.
_COMMANDS = {
    "dead-letters": "Show which records could not be sent, why, and what to do. Send nothing.",
    "delivered": "Print the delivered events as CSV, if keep_delivered is set.",
    "explain": "Show which events the records on standard input would become. Send nothing.",
    "health": "Say whether the last runs were normal; the exit code is 3 if not.",
    "preset": "Print the stream_maps of a preset, or the list of presets.",
    "replay": "Send the dead letters that can be sent now, and keep all others.",
    "report": "Write the report page from the history of runs.",
    "trace": "Say what happened to single events, by their IDs. Send nothing.",
}


def definition(pip_url: str = PIP_URL) -> dict[str, Any]:
    """Return the definition of the target in the format of Meltano Hub."""
    groups = [
        [*SETTINGS_SCHEMA["required"], "auth_token"],
        [*SETTINGS_SCHEMA["required"], "auth_token_path"],
    ]
    settings = [_setting(name, schema) for name, schema in SETTINGS_SCHEMA["properties"].items()]
    return {
        "name": NAME,
        "variant": MAINTAINER,
        "namespace": NAME.replace("-", "_"),
        "label": "LiveIntent",
        "description": _ABOUT["Summary"],
        "domain_url": "https://www.liveintent.com",
        "docs": f"{REPOSITORY}#readme",
        "repo": REPOSITORY,
        "logo_url": HUB_LOGO,
        "pip_url": pip_url,
        "executable": NAME,
        "maintenance_status": "beta",
        "quality": "unknown",  # The Hub decides this.
        "keywords": ["meltano_sdk", "api", "reverse_etl", "advertising", "conversions"],
        "supported_python_versions": _python_versions(),
        "capabilities": sorted(c.value for c in TargetLiveIntent.capabilities),
        "commands": {name: {"args": name, "description": text} for name, text in _COMMANDS.items()},
        "log_parser": "singer-sdk",
        "settings_group_validation": [sorted(group) for group in groups],
        # Sorted as by the Hub's weekly refresh, which then changes less.
        "settings": sorted(settings, key=lambda setting: str(setting["name"])),
        "settings_preamble": _SETTINGS_PREAMBLE,
        "next_steps": _NEXT_STEPS,
        "usage": _USAGE,
    }


def _python_versions() -> list[str]:
    parts = [c.split(" :: ") for c in _ABOUT.get_all("Classifier") or []]
    return [p[-1] for p in parts if p[:2] == ["Programming Language", "Python"] and "." in p[-1]]


def _setting(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    kind = "options" if "enum" in schema else next(k for k in schema["type"] if k != "null")
    setting = {
        "name": name,
        "label": _label(name),
        "kind": kind,
        "description": schema["description"],
    }
    if "default" in schema:
        setting["value"] = schema["default"]
    if kind == "options":
        values = filter(None, schema["enum"])
        setting["options"] = [{"label": _title(value), "value": value} for value in values]
    if schema.get("secret") or any(word in name for word in _LOOKS_SECRET):
        setting["sensitive"] = bool(schema.get("secret"))
    return setting


def _title(value: str) -> str:
    return value.replace("_", " ").title()


def _label(name: str) -> str:
    words = name.split("_")
    return " ".join(word.upper() if word in _ACRONYMS else word.capitalize() for word in words)


def lock(pip_url: str = PIP_URL) -> dict[str, Any]:
    """Return the definition of the target in the format of a Meltano lock file."""
    return {"plugin_type": "loaders", **definition(pip_url)}


def commands() -> str:
    """Return a Markdown block with the commands that create a project with the target."""
    lines = [
        "pip install 'meltano>=4.4'",
        "meltano init shop && cd shop",
        f"meltano add --from-ref {FILES}/{DEFINITION} {NAME}",
    ]
    return "\n".join(["```sh", *lines, "```"])


def files() -> dict[Path, str]:
    """Return the text of each generated file, by its path."""
    projects = [ROOT, *(path.parent for path in sorted(ROOT.glob("examples/*/meltano.yml")))]
    maintainer = {"label": MAINTAINER, "name": MAINTAINER, "url": ACCOUNT}
    locked = json.dumps(lock(), indent=2) + "\n"
    return {
        ROOT / DEFINITION: _yaml(definition()),
        ROOT / MAINTAINERS: _yaml({MAINTAINER: maintainer}),
        **{project / LOCK: locked for project in projects},
    }


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a readable block (`|`)."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _yaml(value: dict[str, Any]) -> str:
    """Return YAML with sorted keys, which the Hub's yamllint requires."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, width=100)
