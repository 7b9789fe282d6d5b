"""What the package index shows of the package, and what an import of it loads."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import target_liveintent

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


PUBLIC = {
    *("REASONS", "RunError", "SETTINGS_SCHEMA", "Sandbox"),
    *("TargetLiveIntent", "problems", "settings_of"),
}
"""What docs/reference/python.md promises."""


def test_public_names_are_imported_from_the_package() -> None:
    """Each is there, wherever it lives, and nothing else is said to be public."""
    assert {*target_liveintent.__all__} == PUBLIC
    assert {*dir(target_liveintent)} >= {*PUBLIC, "__version__"}
    for name in PUBLIC:
        assert getattr(target_liveintent, name) is not None


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'target_liveintent' has no attribute 'x'"):
        _ = target_liveintent.x  # type: ignore[attr-defined]


def test_type_checkers_know_the_public_names() -> None:
    """The stub imports each public name from the module that the package takes it from."""
    stub = ast.parse(Path(target_liveintent.__file__).with_suffix(".pyi").read_text("utf-8"))
    imported = {
        alias.name: f"{node.module}"
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = vars(target_liveintent)["_MODULES"]
    assert imported == {name: f"target_liveintent.{module}" for name, module in modules.items()}


def test_the_package_alone_loads_nothing_of_its_own() -> None:
    """A run, and Spark's workers, load only what they need."""
    shown = "import target_liveintent, sys; print(*[n for n in sys.modules if 'liveintent' in n])"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["target_liveintent"]
