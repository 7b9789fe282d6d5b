"""What Meltano Hub asks of a pull request with a loader, by rules like its own.

The Hub's own are its yamllint, its JSON schemas, and the scripts for names, maintainers and its
API in `utility_scripts` of https://github.com/meltano/hub.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = ("_data/default_variants.yml", "_data/maintainers.yml")
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
KINDS = (
    *("array", "boolean", "date_iso8601", "decimal", "email", "file", "hidden", "integer"),
    *("oauth", "object", "options", "password", "string"),
)
CAPABILITIES = (
    *("about", "activate-version", "batch", "datatype-failsafe", "hard-delete"),
    *("schema-flattening", "soft-delete", "stream-maps", "structured-logging", "target-schema"),
    "validate-records",
)
SETTING = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(
            ("description", "docs", "documentation", "env", "label", "name", "placeholder"), TEXT
        ),
        "aliases": TEXTS,
        "hidden": {"type": "boolean"},
        "kind": {"enum": list(KINDS)},
        "options": {
            "type": "array",
            "items": {"type": "object", "properties": {"label": TEXT, "value": TEXT}},
        },
        "sensitive": {"type": "boolean"},
        "value": {},
    },
}
LOADER = {
    "type": "object",
    "required": ["name", "namespace", "quality", "variant"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(
            ("description", "docs", "domain_url", "executable", "label", "log_parser"), TEXT
        ),
        **dict.fromkeys(("logo_url", "name", "namespace", "next_steps", "pip_url", "prereq"), TEXT),
        **dict.fromkeys(("repo", "settings_preamble", "usage", "variant"), TEXT),
        "capabilities": {"type": "array", "items": {"enum": list(CAPABILITIES)}},
        "commands": {"type": "object"},
        "keywords": TEXTS,
        "maintenance_status": {"enum": ["active", "beta", "development", "inactive", "unknown"]},
        "quality": {"enum": ["gold", "silver", "bronze", "unknown"]},
        "settings": {"type": "array", "items": SETTING},
        "settings_group_validation": {"type": "array", "items": TEXTS},
        "supported_python_versions": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^3\.\d+$"},
        },
    },
}


def problems(hub: Path) -> list[str]:
    """Return what the Hub would say against the loaders of a checkout, and about its lists."""
    files = [*map(Path, DATA), *_definitions(hub)]
    found = [f"{path}: {line}" for path in files for line in _lint(hub / path)]
    for path in _definitions(hub):
        found += [f"{path}: {line}" for line in _wrong(hub, path)]
    return found


def _definitions(hub: Path) -> list[Path]:
    return [path.relative_to(hub) for path in hub.glob("_data/meltano/loaders/*/*.yml")]


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _lint(path: Path) -> Iterator[str]:
    """Yield what yamllint would say: order and repetition of keys, braces, indentation, the end."""
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield "no new line at its end, or several"
    nodes = [yaml.compose(text)]
    while nodes:
        node = nodes.pop()
        where = f"line {node.start_mark.line + 1}"
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        if not isinstance(node, yaml.MappingNode):
            continue
        keys = [key.value for key, _ in node.value]
        if any(second <= first for first, second in itertools.pairwise(keys)):
            yield f"{where}: keys that are not in order"
        if node.flow_style and node.value:
            yield f"{where}: braces that are not empty"
        for key, value in node.value:
            nodes.append(value)
            is_block = isinstance(value, yaml.SequenceNode) and not value.flow_style
            if is_block and value.start_mark.column != key.start_mark.column:
                yield f"{where}: a list that is indented"


def _wrong(hub: Path, path: Path) -> Iterator[str]:
    """Yield what the checks of schema, names, maintainers and the API would say of a loader."""
    loader = _read(hub / path)
    for error in jsonschema.Draft7Validator(LOADER).iter_errors(loader):
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    if (loader["name"], f"{loader['variant']}.yml") != (path.parent.name, path.name):
        yield "its name and variant are not those of its folder and file"
    variants, maintainers = (_read(hub / list_) for list_ in DATA)
    if loader["variant"] not in maintainers:
        yield "its variant has no maintainer"
    elif not maintainers[loader["variant"]].keys() >= {"label", "url"}:
        yield "its maintainer has no label or URL"
    if variants["loaders"].get(loader["name"]) != loader["variant"]:
        yield "it has no default variant"
    if not loader["logo_url"].startswith("/assets/logos/loaders/"):
        yield "its logo is not where the site looks for it"
    elif not (hub / f"static{loader['logo_url']}").is_file():
        yield "its logo is not there"
