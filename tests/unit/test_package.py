"""What the package index shows of the package, and what an import of it loads."""

import re
import subprocess
import sys
from importlib import metadata

ABOUT = metadata.metadata("target-liveintent")
LINK = re.compile(r"\]\(([^)]+)\)")


def test_links_of_the_description_are_absolute() -> None:
    """The index shows the README alone, where a relative link would be broken."""
    description = ABOUT["Description"] or str(ABOUT.get_payload())
    links = LINK.findall(description)
    assert len(links) > 15
    assert [link for link in links if not link.startswith("https://")] == []
    version = metadata.version("target-liveintent")
    assert any(link.endswith(f"/blob/v{version}/docs/guarantees.md") for link in links)
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", description)
    assert pictures
    assert all(f"/raw/v{version}/" in picture for picture in pictures)


CORE = ("config", "conversions.builder", "delivery.client", "mapping", "run.run", "spark")


def test_the_core_loads_neither_the_sdk_nor_spark() -> None:
    """Spark's workers import the core, and need neither the SDK nor PySpark for it.

    The contracts in pyproject.toml, which scripts/lint checks, cannot see what is loaded when a
    program starts. fsspec is loaded when a setting is a URL.
    """
    imports = "; ".join(f"import target_liveintent.{module}" for module in CORE)
    shown = f"{imports}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True
    )
    loaded = set(answer.stdout.split())
    assert "target_liveintent" in loaded
    assert not loaded & {"fsspec", "jsonschema", "pyspark", "singer_sdk"}
