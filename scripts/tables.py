"""Generates the documentation's tables; `scripts/readme` writes and `scripts/lint` checks them."""

from __future__ import annotations

import inspect
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from target_liveintent import config, errors
from target_liveintent.cli import main
from target_liveintent.delivery.api import MEANINGS, REPEATED, Verdict
from target_liveintent.delivery.outcome_table import OUTCOME_TABLE, Faults, Row
from target_liveintent.mapping import presets as preset_maps
from target_liveintent.mapping.functions import FUNCTIONS
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.metrics import METRICS
from target_liveintent.sandbox import Sandbox
from target_liveintent.sandbox.__main__ import main as sandbox_command
from target_liveintent.sandbox.faults import KINDS
from target_liveintent.store import delivered as delivered_rows
from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ROOT = Path(__file__).parents[1]
_NAME = "target-liveintent"

EXTRAS = {
    "parquet": "BATCH files in Parquet, which the tap writes and the target reads.",
    "postgres": "A [store](store.md) in a PostgreSQL database, which many machines can share.",
    "sandbox": "The program `liveintent-sandbox`, a local copy of the Conversions API for trials.",
    "spark": "[Spark's data source](spark.md).",
}
"""The purpose of each extra. Each extra of the package must be in this table."""


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def _meanings(meanings: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"`{name}`", meaning) for name, meaning in meanings.items()]


def settings() -> str:
    """Return a table of settings for each group of settings."""
    sections = []
    for heading, group in config.settings_by_group().items():
        rows = [
            (f"`{name}`", default if default in {"", "required"} else f"`{default}`", description)
            for name, default, description in group
        ]
        sections += [f"## {heading}", table(("setting", "default", ""), rows)]
    return "\n\n".join(sections)


def presets() -> str:
    """Return a table of the presets."""
    rows = [(f"`{name}`", preset.source) for name, preset in PRESETS.items()]
    return table(("preset", "use it for"), rows)


def preset_texts() -> str:
    """Return a section for each preset, with its stream map in YAML."""
    return "\n\n".join(
        f"### {name}\n\n```yaml\n{preset_maps.preset_text(name).rstrip()}\n```" for name in PRESETS
    )


def functions() -> str:
    """Return a table of the helper functions for expressions."""
    rows = []
    for name, function in FUNCTIONS.items():
        parameters = ", ".join(
            str(parameter.replace(annotation=inspect.Parameter.empty))
            for parameter in inspect.signature(function).parameters.values()
        )
        meaning, _, _ = inspect.cleandoc(function.__doc__ or "").partition("\n\nRaises:")
        rows.append((f"`{name}({parameters})`", " ".join(meaning.split())))
    return table(("function", ""), rows)


def delivered() -> str:
    """Return a table of the columns of the delivered events."""
    meanings = {name: meaning for name, (_, meaning) in delivered_rows.DELIVERED_COLUMNS.items()}
    return table(("column", ""), _meanings(meanings))


def metrics() -> str:
    """Return a table of the metrics."""
    return table(("metric", ""), _meanings(METRICS))


def reasons() -> str:
    """Return a table of the reasons why a record was not delivered."""
    rows = [
        (
            f"`{code}`",
            reason.meaning,
            "counts" if reason.is_bad else "does not count",
            "tried again" if reason.replayed else "not sent",
        )
        for code, reason in REASONS.items()
    ]
    return table(
        ("reason", "what happened, and what to do", "towards the limit¹", "in a replay²"),
        rows,
    )


def answers() -> str:
    """Return a table of the answers of the API and their meanings."""
    rows = [(meaning.answer, meaning.words) for meaning in MEANINGS.values()]
    return table(("answer", "what it means"), rows)


def outcomes() -> str:
    """Return a table of the outcomes of a request's events, by the answer of the API."""
    return table(
        ("answer", "part", "faults of the part", "what becomes of the part"),
        [_outcome(row) for row in OUTCOME_TABLE],
    )


def _outcome(row: Row) -> tuple[str, ...]:
    if REPEATED.issuperset(row.verdicts):
        answers = "a fault"
        faults = "; or ".join(faults.value for faults in Faults if faults in row.faults)
    else:
        answers = "; or ".join(
            MEANINGS[verdict].answer for verdict in Verdict if verdict in row.verdicts
        )
        faults = ""
    return answers, row.parts.words, faults, row.action.words


def options() -> str:
    """Return a table of the options of a run."""
    return table(("option", ""), _options(main))


def commands() -> str:
    """Return a section for each command, with its help and a table of its options."""
    sections = []
    for name, command in sorted(main.commands.items()):
        text = inspect.cleandoc(command.help or "")
        usage = " ".join(command.collect_usage_pieces(click.Context(command)))
        sections += [f"### {name}", text, f"`target-liveintent {name} {usage}`"]
        example = (command.epilog or "").removeprefix("Example: ")
        sections.append(f"For example: `{example}`")
        if rows := _options(command, {"--config", "--help"}.isdisjoint):
            sections.append(table(("option", ""), rows))
    return "\n\n".join(sections)


def _options(
    command: click.Command, is_shown: Callable[[list[str]], bool] = bool
) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for parameter in command.get_params(click.Context(command)):
        if isinstance(parameter, click.Option) and is_shown(parameter.opts):
            values = "\\|".join(getattr(parameter.type, "choices", ()))
            name = " ".join([parameter.opts[0], parameter.metavar or values]).rstrip()
            rows.append((f"`{name}`", parameter.help or ""))
    return rows


def sandbox_options() -> str:
    """Return a table of the options of the sandbox's command line."""
    rows = [
        (f"`{option.opts[0]}`", f"`{option.default}`", option.help or "")
        for option in sandbox_command.params
        if isinstance(option, click.Option)
    ]
    return table(("option", "default", ""), rows)


def sandbox_faults() -> str:
    """Return a table of the kinds of faults that the sandbox can simulate."""
    rows = [
        (
            f"`{name}`",
            _summary(kind),
            ", ".join(f"`{field}`" for field in kind.__struct_fields__ if field != "times"),
        )
        for name, kind in KINDS.items()
    ]
    return table(("kind", "what the sandbox does", "fields"), rows)


def endings() -> str:
    """Return a table of the exceptions that end a run, with their exit codes."""
    types = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if _ends_a_run(kind)]
    types.sort(key=lambda kind: inspect.getsourcelines(kind)[1])
    rows = [
        (f"`{kind.__name__}`", "2" if kind is errors.ConfigurationError else "1", _summary(kind))
        for kind in types
    ]
    return table(("exception", "exit code", ""), rows)


def _ends_a_run(kind: type[Any]) -> bool:
    return issubclass(kind, errors.RunError) and kind is not errors.RunError


def _summary(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def python() -> str:
    """Return a table of the names that other programs may use."""
    names = {
        "target_liveintent.TargetLiveIntent": TargetLiveIntent,
        "target_liveintent.problems": config.problems,
        "target_liveintent.settings_of": config.settings_of,
        "target_liveintent.SETTINGS_SCHEMA": "The JSON schema of all settings.",
        "target_liveintent.REASONS": "What each reason code means.",
        "target_liveintent.Sandbox": Sandbox,
        "target_liveintent.spark.LiveIntentDataSource": "[For Spark](../spark.md).",
        "target_liveintent.spark.explain_rows": "[Says](../spark.md) what a write would do.",
        "target_liveintent.RunError": errors.RunError,
    }
    rows = [
        (f"`{name}`", thing if isinstance(thing, str) else _summary(thing))
        for name, thing in names.items()
    ]
    return table(("name", ""), rows)


def extras() -> str:
    """Return a table of the extras that the package has."""
    names = metadata.metadata(_NAME).get_all("Provides-Extra") or []
    return table(("extra", "needed for"), [(f"`{name}`", EXTRAS[name]) for name in sorted(names)])


def versions() -> str:
    """Return a table of the supported versions of Python and packages, and the tested versions."""
    classifiers = metadata.metadata(_NAME).get_all("Classifier") or []
    pythons = [c.rpartition(" ")[2] for c in classifiers if re.search(r"Python :: 3\.\d+$", c)]
    rows = [("Python", ", ".join(pythons), "each of them")]
    meltano = re.search(r"^requires_meltano: '(.+)'$", _text("meltano.yml"), re.MULTILINE)
    required = " ".join(metadata.requires(_NAME) or [])
    for name, package in {"Singer SDK": "singer-sdk", "Spark": "pyspark"}.items():
        allowed = re.search(rf"(?:^| ){package}([<>=][^ ;]+)", required)
        bounds = sorted(allowed[1].split(","), reverse=True) if allowed else []
        rows.append((name, f"`{', '.join(bounds)}`", _tested(package)))
    rows.insert(1, ("Meltano", f"`{meltano[1]}`" if meltano else "", _tested("meltano")))
    return table(("", "supported", "tested with"), rows)


def _tested(package: str) -> str:
    """Return the version of a package that constraints.txt requires."""
    found: list[str] = re.findall(rf"^{package}==(\S+)", _text("constraints.txt"), re.MULTILINE)
    return found[-1]


def example(path: str, kind: str) -> str:
    """Return a file of the folder `examples` as a block of code in Markdown."""
    text = _text(f"examples/{path}").rstrip("\n")
    return f'```{kind} title="{Path(path).name}"\n{text}\n```'


def _text(path: str) -> str:
    return (_ROOT / path).read_text(encoding="utf-8")
