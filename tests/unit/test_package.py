"""What the package index shows of the package, what programs import, and what that loads."""

import importlib
import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ABOUT = metadata.metadata("target-liveintent")
LINK = re.compile(r"\]\(([^)]+)\)")


def test_links_of_the_description_are_absolute() -> None:
    """The index shows the README alone, where a relative link would be broken."""
    description = ABOUT["Description"] or str(ABOUT.get_payload())
    links = LINK.findall(description)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    version = metadata.version("target-liveintent")
    assert any(link.endswith(f"/blob/v{version}/docs/guarantees.md") for link in links)
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", description)
    assert pictures
    assert all(f"/raw/v{version}/" in picture for picture in pictures)


def test_where_to_go_from_the_index() -> None:
    """Documentation, source, changes and issues have links of their own."""
    named = [url.partition(", ")[0] for url in ABOUT.get_all("Project-URL") or []]
    assert named == ["Homepage", "Documentation", "Source", "Changelog", "Issues"]


WORKFLOW = Path(__file__).parents[2] / ".github" / "workflows" / "test.yml"


@pytest.mark.skipif(not WORKFLOW.exists(), reason="not a checkout")
def test_classifiers_are_what_is_tested() -> None:
    """Each version of Python, and the system, that the classifiers name is one that CI has."""
    classifiers = ABOUT.get_all("Classifier") or []
    pythons = re.findall(r"Python :: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE)
    assert ABOUT["Requires-Python"] == f">={pythons[0]}"
    job = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == pythons
    assert job["runs-on"].startswith("ubuntu")
    systems = [one for one in classifiers if one.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]


def test_the_extras_that_are_documented() -> None:
    """Each extra has its line on the page about support, and each line its extra."""
    tables = pytest.importorskip("tables", reason="not a checkout")
    assert tables.EXTRAS.keys() == set(ABOUT.get_all("Provides-Extra") or [])


# What programs import

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
PUBLIC = (
    "target_liveintent.config.SCHEMA",
    "target_liveintent.config.problems",
    "target_liveintent.config.settings_of",
    "target_liveintent.errors.RunError",
    "target_liveintent.reasons.REASONS",
    "target_liveintent.sandbox.Sandbox",
    "target_liveintent.spark.driver.explain",
    "target_liveintent.spark.source.LiveIntentDataSource",
    "target_liveintent.target.TargetLiveIntent",
)


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_name_can_be_imported(path: str) -> None:
    """Each name is where programs import it from."""
    place, _, name = path.rpartition(".")
    if ".spark." in path:  # It needs libraries that the tests may lack.
        assert importlib.util.find_spec(place)
    else:
        module = importlib.import_module(place)
        assert name in getattr(module, "__all__", vars(module))


@pytest.mark.skipif(not PAGE.exists(), reason="not a checkout")
def test_the_page_lists_these_names() -> None:
    """A name that is added to the page or taken from it is added here or taken from here."""
    table = PAGE.read_text(encoding="utf-8").partition("[[[end]]]")[0]
    named = re.findall(r"^\| `(target_liveintent\.[\w.]+)` \|", table, re.MULTILINE)
    assert sorted(named) == [*PUBLIC]


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
