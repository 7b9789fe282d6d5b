"""The token in a file: read with care, and never shown."""

from pathlib import Path

import pytest

from target_liveintent.delivery import is_usable_token, read_token
from target_liveintent.errors import ConfigurationError

TOKEN = "s3cr3t-T0ken-of-ours"


def test_usable_tokens() -> None:
    """Printable ASCII without spaces can stand in a header."""
    usable = ["x", TOKEN, "a.b_c~d+e/f=", "!\"#$%&'()"]
    others = ["", " ", "a b", "a\n", "a\tb", "a\x7f", "\0", "ä", "a\u2028b"]
    assert [one for one in [*usable, *others] if is_usable_token(one)] == usable


@pytest.mark.parametrize("content", ["{}", "{}\n", "\n {}\r\n", "\ufeff{}"])
def test_a_token_is_read_without_what_is_around_it(tmp_path: Path, content: str) -> None:
    """White space and a byte-order mark are not part of the token."""
    file = tmp_path / "token"
    file.write_text(content.format(TOKEN), encoding="utf-8")
    assert read_token(str(file)) == TOKEN


@pytest.mark.parametrize("content", [b"", b" \n", b"a b", b"a\nb", b"\xff\xfe", "ä".encode()])
def test_a_file_without_a_token(tmp_path: Path, content: bytes) -> None:
    """The message names the setting, and shows nothing of the file."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        read_token(str(file))
    assert str(raised.value) == (
        "setting 'auth_token_path' must name a file that contains a token and nothing else"
    )


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The message says why, without the path, which may be a mistyped token."""
    for path in (tmp_path / TOKEN, tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read: ") as raised:
            read_token(str(path))
        assert TOKEN not in str(raised.value)
    with pytest.raises(ConfigurationError, match="must name a file that contains a token"):
        read_token("a\0b")


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    """Only its first part is read: a file that goes on and on does not fill the memory."""
    file = tmp_path / "token"
    file.write_text("x" * 1_000_000)
    assert len(read_token(str(file))) <= 65_536
