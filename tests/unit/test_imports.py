"""The core and the Spark source load neither the SDK nor Spark, nor what only these need.

The contracts in pyproject.toml, which scripts/lint checks, say which module may import which.
This test sees what they cannot see: what is loaded when a program starts.
"""

from __future__ import annotations

import subprocess
import sys

CORE = ("config", "conversions.builder", "delivery.client", "mapping.converter", "run.run", "spark")


def test_the_core_loads_neither_the_sdk_nor_spark() -> None:
    """Spark's workers import the core, and need neither the SDK nor PySpark for it.

    fsspec is loaded when a setting is a URL.
    """
    imports = "; ".join(f"import target_liveintent.{module}" for module in CORE)
    shown = f"{imports}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True
    )
    loaded = set(answer.stdout.split())
    assert "target_liveintent" in loaded
    assert not loaded & {"fsspec", "jsonschema", "pyspark", "singer_sdk"}
