"""What serves any engine does so without the SDK: importing it must not load the SDK."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_THE_SDK = (
    "clock",
    "conversions.builder",
    "delivery.client",
    "conversions.coerce",
    "config",
    "storage.dead_letters",
    "delivery.pool",
    "errors",
    "conversions.model",
    "privacy.identity",
    "storage.ledger",
    "privacy.redaction",
    "privacy.logs",
    "run.assembly",
    "run.counts",
    "run.run",
    "settings",
    "spark",
    "spark.dead_letters",
    "spark.options",
    "spark.task",
    "privacy.suppression",
    "delivery.tokens",
)


def loaded_by(*modules: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after importing modules of the target."""
    imports = "; ".join(f"import target_liveintent.{module}" for module in modules)
    shown = f"{imports}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


def test_the_core_does_not_load_the_sdk() -> None:
    """Settings, events, delivery and dead letters, all at once."""
    loaded = loaded_by(*WITHOUT_THE_SDK)
    assert "target_liveintent" in loaded
    assert "singer_sdk" not in loaded
    assert "pyspark" not in loaded


@pytest.mark.parametrize("module", ["sinks", "singer.stream_maps"])
def test_the_look_is_right(module: str) -> None:
    """Those that stand on the SDK do load it, so the test above would see it."""
    assert "singer_sdk" in loaded_by(module)
