"""The core and the Spark source load neither the SDK nor Spark.

The contracts in pyproject.toml, which scripts/lint checks, say which module may import which.
This test sees what they cannot see: what is loaded when a program starts.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

CORE = ("config", "conversions.builder", "delivery.client", "mapping.converter", "run.run", "spark")


def loaded_by(*modules: str) -> set[str]:
    """Return the packages that a fresh interpreter has loaded after importing these modules."""
    imports = "; ".join(f"import target_liveintent.{module}" for module in modules)
    shown = f"{imports}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


def test_the_core_loads_neither_the_sdk_nor_spark() -> None:
    """Spark's workers import the core, and need neither the SDK nor PySpark for it.

    fsspec is loaded when a setting is a URL.
    """
    loaded = loaded_by(*CORE)
    assert "target_liveintent" in loaded
    assert not loaded & {"fsspec", "singer_sdk", "pyspark"}


@pytest.mark.parametrize("module", ["sinks", "singer.stream_maps"])
def test_the_singer_modules_load_the_sdk(module: str) -> None:
    """The test above would notice the SDK."""
    assert "singer_sdk" in loaded_by(module)
