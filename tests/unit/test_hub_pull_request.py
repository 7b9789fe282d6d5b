"""The pull request for Meltano Hub: four files, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hub_rules import problems

hub = pytest.importorskip("hub", reason="not a checkout")

if TYPE_CHECKING:
    from collections.abc import Callable
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


# The Hub's rules


def test_the_pull_request_passes_the_checks(checkout: Path) -> None:
    """Lint, schema, names, maintainers, default variant and logo, by rules like the Hub's own."""
    assert _apply(checkout).returncode == 0
    assert problems(checkout) == []


def _change(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


DEFINITION = f"{LOADERS}/{hub.NAME}.yml"
BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (_change(DEFINITION, "capabilities:", "variety: 1\ncapabilities:"), "not in order"),
    (_change(DEFINITION, "capabilities:", "variety: 1\ncapabilities:"), "'variety' was unexpected"),
    (_change(DEFINITION, "    args: ", "    description: x\n    args: "), "not in order"),
    (_change(DEFINITION, "kind: boolean", "kind: number"), "'number' is not one of"),
    (_change(DEFINITION, "- about\n", "- abouts\n"), "'abouts' is not one of"),
    (_change(DEFINITION, "quality: unknown\n", ""), "'quality' is a required property"),
    (_change(DEFINITION, "quality: unknown\n", "quality: {a: b}\n"), "braces"),
    (_change(DEFINITION, "- about\n", "  - about\n  - batch\nx:\n"), "indented"),
    (_change(DEFINITION, f"variant: {hub.NAME}\n", "variant: other\n"), "folder and file"),
    (_change(DEFINITION, f"logo_url: {hub.HUB_LOGO}", "logo_url: https://x"), "looks for it"),
    (_change("_data/maintainers.yml", f"{hub.NAME}:", "x:"), "no maintainer"),
    (_change("_data/default_variants.yml", LINE, ""), "no default variant"),
    (lambda folder: (folder / f"static{hub.HUB_LOGO}").unlink(), "logo is not there"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_the_checks_notice(checkout: Path, change: Callable[[Path], None], said: str) -> None:
    """Each rule finds what breaks it."""
    _apply(checkout)
    change(checkout)
    assert any(said in problem for problem in problems(checkout))
