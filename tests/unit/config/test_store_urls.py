"""The checks of URLs in settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from target_liveintent.config import problems

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"customer_id": "a-1b2c", "auth_token": "token", "ledger": False}
TAKE_URLS = ("dead_letter_path", "delivered_path", "report_path", "suppression_path")


@pytest.mark.parametrize("name", TAKE_URLS)
@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a.html",
        "gs://bucket/a b@c.html".replace(" ", "-"),
        "az://c/d/e.html",
        " s3://b/x.html",
    ],
)
def test_good_urls(name: str, url: str) -> None:
    """Whether the store is there is found out when a run begins."""
    assert problems({**GOOD, name: url}) == []


@pytest.mark.parametrize("name", TAKE_URLS)
@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA1:s3cr3t@bucket/letters.html",
        "s3://AKIA1:s3cr3t/letters.html",
        "s3://s3cr3t@bucket/letters.html",
        "s3://bucket/letters?s3cr3t=s3cr3t.html",
        "s3://bucket/letters#s3cr3t.html",
        "simplecache::s3://AKIA1:s3cr3t@bucket/letters.html",
        "s3://[s3cr3t/letters.html",
        "s3://bucket/s3cr3t\u2028letters.html",
        "s3://bucket/s3cr3t letters.html",
    ],
)
def test_bad_urls(name: str, url: str) -> None:
    """They are refused without showing them: credentials come from the environment."""
    (line,) = problems({**GOOD, name: url})
    assert line.startswith(f"setting '{name}' must be a URL ")
    assert "s3cr3t" not in line
    assert "AKIA1" not in line


@pytest.mark.parametrize("name", TAKE_URLS)
def test_files_on_this_machine(name: str) -> None:
    """A path is shorter, and is handled as a file."""
    (line,) = problems({**GOOD, name: "file:///a/b.html"})
    assert line == (
        f"setting '{name}' names a file on this machine: give the path of the file, without file://"
    )


@pytest.mark.parametrize("name", ["ledger_path", "metrics_path"])
def test_settings_that_take_no_url(name: str) -> None:
    (line,) = problems({**GOOD, "ledger": True, name: "s3://bucket/x"})
    assert line.startswith(
        f"setting '{name}' must name a file on this machine, and cannot be a URL. "
    )
    assert "bucket" not in line


def test_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two settings do not share a folder, also where one URL ends in a slash."""
    monkeypatch.chdir(tmp_path)
    given = {"dead_letter_path": "s3://bucket/a", "delivered_path": "s3://bucket/a/"}
    (line,) = problems({**GOOD, **given})
    assert "'dead_letter_path' and 'delivered_path' name the same file" in line
