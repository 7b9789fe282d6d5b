"""Files that a run replaces, and files that it reads from any file system."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from target_liveintent.files import open_anywhere, replace_file

SECRET = "s3cr3t"


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let the modes of new files be what a run asks for, and no less."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.posix
@pytest.mark.usefixtures("no_umask")
def test_a_replaced_file_keeps_its_mode_and_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file, also one that a link leads to, keeps its mode; a new one is for its owner only."""
    monkeypatch.chdir(tmp_path)
    real = tmp_path / "folder" / "real"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    replace_file(Path("link"), "new")
    replace_file(Path("other"), "ü\n")
    assert (tmp_path / "link").is_symlink()
    for path, text, mode in ((real, "new", 0o640), (tmp_path / "other", "ü\n", 0o600)):
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (text.encode(), mode)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["folder", "link", "other", "real"]


@pytest.mark.parametrize(
    ("text", "error"), [("new", OSError), ("\ud800", UnicodeEncodeError)], ids=["rename", "text"]
)
def test_a_failed_replacement_keeps_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: type[Exception]
) -> None:
    """The failure is raised, the old text stays, and no scratch file is left."""

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "page"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(error):
        replace_file(path, text)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_read_wherever_it_is(tmp_path: Path) -> None:
    """A path is one of this machine; a URL is one of any file system that fsspec knows."""
    (tmp_path / "people").write_bytes(b"on the disk")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/test-files/people", b"elsewhere")
    for place, content in (
        (str(tmp_path / "people"), b"on the disk"),
        ((tmp_path / "people").as_uri(), b"on the disk"),
        ("memory://test-files/people", b"elsewhere"),
    ):
        with open_anywhere(place) as file:
            assert file.read() == content
    memory.rm("/test-files", recursive=True)


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        pytest.param(
            f"memory://{SECRET}/nowhere", None, "it does not exist", id="nothing in memory"
        ),
        pytest.param(
            f"nothing://{SECRET}@example.com/x", None, "ValueError", id="an unknown kind of place"
        ),
        pytest.param(
            f"s3://{SECRET}/x",
            ImportError(SECRET),
            "install the package that fsspec needs for s3://",
            id="a package is missing",
        ),
        pytest.param(
            f"s3://{SECRET}/x", PermissionError(SECRET), "access is denied", id="access is denied"
        ),
        pytest.param(
            f"s3://{SECRET}/x", RuntimeError(SECRET), "RuntimeError", id="an unexpected error"
        ),
    ],
)
def test_the_error_of_an_unreadable_file_shows_nothing_of_its_url(
    monkeypatch: pytest.MonkeyPatch, url: str, error: Exception | None, said: str
) -> None:
    """The reason has nothing of the URL, in which there may be credentials, nor of the error."""

    def fail(*_: Any) -> None:
        raise error

    if error is not None:
        monkeypatch.setattr(fsspec, "open", fail)
    with pytest.raises(OSError, match=said) as raised:
        open_anywhere(url)
    assert SECRET not in f"{raised.value!r} {raised.value.strerror}"
    assert raised.value.__suppress_context__
