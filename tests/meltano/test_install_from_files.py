"""The target from a wheel, with extras, with and without an index: docs/how-to/install.md."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from meltano_support import CONSTRAINED, MELTANO, ROOT, Project, changed_text, empty_project

import hub

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

SECTION = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
SECTION = SECTION.partition("\n## Install from a file, or offline\n")[2].partition("\n## ")[0]
FROM_FILE, FROM_FOLDER = (
    yaml.safe_load(text)[0]["pip_url"]
    for text in re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
)
EXAMPLE = FROM_FILE.partition("[")[0]
"""The path of the wheel, as the page has it."""
NOWHERE = "http://127.0.0.1:9"
OFFLINE = {
    "MELTANO_HUB_URL": NOWHERE,
    "PIP_INDEX_URL": NOWHERE,
    "UV_DEFAULT_INDEX": NOWHERE,
    "UV_NO_CACHE": "1",
}
"""Neither the Hub, nor the package index, nor what was downloaded before."""


@pytest.fixture
def built(wheel: str) -> Path:
    """The wheel, as a file."""
    return Path(wheel.rsplit(maxsplit=1)[-1])


def project_with(folder: Path, pip_url: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Add the target to a new project, by the Hub's definition as a file, and install it."""
    folder.mkdir()
    project = empty_project(folder)
    (add,) = re.findall(r"`(meltano add [^`]*)`", SECTION)
    add = " ".join(add.split()).replace("target-liveintent.yml", str(ROOT / hub.DEFINITION))
    done = project.shell(add, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = project.load()
    (loader,) = settings["plugins"]["loaders"]
    loader["pip_url"] = pip_url
    project.save(settings)
    return project.run("install", **env)


def has_extra(folder: Path) -> bool:
    """Whether the target is there, with the extra for PostgreSQL."""
    venv = folder / ".meltano" / "loaders" / hub.NAME / "venv"
    said = Project(folder).run("invoke", hub.NAME, "--version")
    assert said.stdout.startswith(f"{hub.NAME} v"), said.stderr
    return bool(list(venv.glob("lib/python*/site-packages/psycopg/__init__.py")))


def test_from_a_file(built: Path, tmp_path: Path) -> None:
    """The path of a wheel takes extras."""
    pip_url = changed_text(FROM_FILE, {EXAMPLE: str(built)})
    done = project_with(tmp_path / "shop", f"{CONSTRAINED} {pip_url}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert has_extra(tmp_path / "shop")


def test_offline(built: Path, tmp_path: Path) -> None:
    """A folder of wheels, and a definition from a file, are enough."""
    (tmp_path / built.name).write_bytes(built.read_bytes())
    (fill,) = re.findall(r"^(pip .*)$", SECTION, re.MULTILINE)
    pip = f"{MELTANO.with_name('python')} -m pip --disable-pip-version-check --quiet"
    command = changed_text(fill, {"pip ": f"{pip} ", Path(EXAMPLE).name: built.name})
    filled = Project(tmp_path).shell(command, PIP_CONSTRAINT=str(ROOT / "constraints.txt"))
    assert filled.returncode == 0, filled.stdout + filled.stderr
    pip_url = changed_text(FROM_FOLDER, {"/srv/wheels": str(tmp_path / "wheels")})
    done = project_with(tmp_path / "shop", pip_url, **OFFLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert has_extra(tmp_path / "shop")
