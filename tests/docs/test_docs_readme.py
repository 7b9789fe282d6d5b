"""README.md: its install line works, its versions are the tested ones, and it is short."""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from docs_support import ROOT, blocks
from needs import not_installed

import hub

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
TWO_SCREENS = 110


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason=not_installed("git"))
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_install(tmp_path: Path) -> None:
    """The first command installs the target; this clone takes the place of the public one."""
    (install,) = (block for block in blocks(README) if "pip install" in block.text)
    assert install.excuse == "run by tests/docs/test_docs_readme.py"
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True, timeout=120)
    # What the target needs comes from the index, as in any other environment.
    pip = tmp_path / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {tmp_path}/bin/python -m pip "$@" --no-deps\n', "utf-8")
    environment = os.environ | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": hub.REPOSITORY,
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", install.text],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Successfully installed target-liveintent-" in done.stdout
    assert (tmp_path / "bin" / "target-liveintent").exists()


def test_versions() -> None:
    """The versions that it names are those of the package, and of the projects."""
    classifiers = metadata.metadata(hub.NAME).get_all("Classifier") or []
    pythons = [c.rpartition(" ")[2] for c in classifiers if re.search(r"Python :: 3\.\d+$", c)]
    assert f"Python {pythons[0]} to {pythons[-1]}," in TEXT
    assert f"Python {pythons[0]} or newer" in TEXT
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    assert f"Meltano {project['requires_meltano'].removeprefix('>=')} or newer" in TEXT


def test_two_screens() -> None:
    """README.md is short, and has the two commands that do all the set-up."""
    assert len(TEXT.splitlines()) <= TWO_SCREENS
    commands = [line.split()[0] for line in blocks(README)[0].text.splitlines()]
    assert commands == ["scripts/demo", "scripts/test"]
