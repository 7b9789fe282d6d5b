"""The target from a wheel, with extras and without an index: docs/how-to/install.md.

The path of a wheel with extras as `pip_url` is what test_no_disk.py installs.
"""

import re
from pathlib import Path

import pytest
import yaml
from meltano_support import MELTANO, ROOT, Project, changed_text, empty_project

import hub

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

SECTION = (ROOT / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
SECTION = SECTION.partition("\n## Install from a file, or offline\n")[2].partition("\n## ")[0]
FROM_FILE, FROM_FOLDER = (
    yaml.safe_load(text)[0]["pip_url"]
    for text in re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
)
NOWHERE = "http://127.0.0.1:9"
OFFLINE = {
    "MELTANO_HUB_URL": NOWHERE,
    "PIP_INDEX_URL": NOWHERE,
    "UV_DEFAULT_INDEX": NOWHERE,
    "UV_NO_CACHE": "1",
}
"""Neither the Hub, nor the package index, nor what was downloaded before."""


def test_offline(wheel: str, tmp_path: Path) -> None:
    """A folder of wheels, and a definition from a file, are enough; the extra is there as well."""
    built = Path(wheel.rsplit(maxsplit=1)[-1])
    (tmp_path / built.name).write_bytes(built.read_bytes())
    (fill,) = re.findall(r"^(pip .*)$", SECTION, re.MULTILINE)
    pip = f"{MELTANO.with_name('python')} -m pip --disable-pip-version-check --quiet"
    example, _, extras = FROM_FILE.partition("[")
    assert extras == "postgres]"
    command = changed_text(fill, {"pip ": f"{pip} ", Path(example).name: built.name})
    filled = Project(tmp_path).shell(command, PIP_CONSTRAINT=str(ROOT / "constraints.txt"))
    assert filled.returncode == 0, filled.stdout + filled.stderr

    (tmp_path / "shop").mkdir()
    project = empty_project(tmp_path / "shop")
    (add,) = re.findall(r"`(meltano add [^`]*)`", SECTION)
    add = " ".join(add.split()).replace("target-liveintent.yml", str(ROOT / hub.DEFINITION))
    done = project.shell(add, **OFFLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = project.load()
    (loader,) = settings["plugins"]["loaders"]
    loader["pip_url"] = changed_text(FROM_FOLDER, {"/srv/wheels": str(tmp_path / "wheels")})
    project.save(settings)
    done = project.run("install", **OFFLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    said = project.run("invoke", hub.NAME, "--version")
    assert said.stdout.startswith(f"{hub.NAME} v"), said.stderr
    venv = project.folder / ".meltano" / "loaders" / hub.NAME / "venv"
    assert list(venv.glob("lib/python*/site-packages/psycopg/__init__.py"))
