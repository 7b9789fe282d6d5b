"""The pull request for Meltano Hub: four files, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

hub = pytest.importorskip("hub", reason="not a checkout")

if TYPE_CHECKING:
    from pathlib import Path

MAINTAINERS = """\
airbyte:
  label: airbyte
  name: airbyte
  url: https://airbyte.com/
{}zookal:
  label: Zookal
  name: zookal
  url: http://zookal.com/
"""
ENTRY = f"""\
{hub.MAINTAINER}:
  label: {hub.MAINTAINER}
  name: {hub.MAINTAINER}
  url: {hub.ACCOUNT}
"""
DEFAULT_VARIANTS = """\
extractors:
  tap-zoom: somebody
loaders:
  target-kinesis: prontopro
{}  target-magentobi: singer-io
mappers:
  target-like-mapper: meltanolabs
"""
LINE = f"  {hub.NAME}: {hub.MAINTAINER}\n"
LOADERS = f"_data/meltano/loaders/{hub.NAME}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the Hub, as far as the pull request reads and changes it."""
    (tmp_path / "_data").mkdir()
    _write(tmp_path, MAINTAINERS.format(""), DEFAULT_VARIANTS.format(""))
    return tmp_path


def _write(folder: Path, maintainers: str, default_variants: str) -> None:
    (folder / "_data" / "maintainers.yml").write_bytes(maintainers.encode())
    (folder / "_data" / "default_variants.yml").write_bytes(default_variants.encode())


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _apply(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as in a fresh clone: with no package and no environment."""
    program = [sys.executable, "-I", "-S", str(hub.ROOT / "scripts" / "hub_pull_request")]
    return subprocess.run(
        [*program, str(folder)], check=False, capture_output=True, text=True, env={}
    )


def test_the_files_of_the_pull_request(checkout: Path) -> None:
    """Definition, logo, maintainer and default variant, each at its place; nothing else changes."""
    done = _apply(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert _files(checkout) == {
        "_data/maintainers.yml": MAINTAINERS.format(ENTRY).encode(),
        "_data/default_variants.yml": DEFAULT_VARIANTS.format(LINE).encode(),
        f"{LOADERS}/{hub.NAME}.yml": (hub.ROOT / hub.DEFINITION).read_bytes(),
        f"static{hub.HUB_LOGO}": (hub.ROOT / hub.LOGO).read_bytes(),
    }


def test_a_second_time_changes_nothing(checkout: Path) -> None:
    """Whoever runs the script again, after a rebase for example, gets no second entry."""
    _apply(checkout)
    before = _files(checkout)
    assert _apply(checkout).returncode == 0
    assert _files(checkout) == before


def test_an_entry_that_comes_last(checkout: Path) -> None:
    """Where no key is larger, the entry is the last one of its mapping."""
    first = MAINTAINERS.partition("{}")[0]
    _write(checkout, first, "loaders:\n  target-kinesis: prontopro\nmappers:\n  a: b\n")
    assert _apply(checkout).returncode == 0
    assert _files(checkout)["_data/maintainers.yml"] == (first + ENTRY).encode()
    assert _files(checkout)["_data/default_variants.yml"] == (
        f"loaders:\n  target-kinesis: prontopro\n{LINE}mappers:\n  a: b\n".encode()
    )


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    """A wrong folder is named, and nothing is written into it."""
    done = _apply(tmp_path)
    assert done.returncode == 1
    assert "is not a checkout of Meltano Hub: it has no _data/maintainers.yml" in done.stderr
    assert _files(tmp_path) == {}
