"""The suppression list: which entries count, and which files are refused."""

import sys
from pathlib import Path

import fsspec
import pytest
from unit_support import ADDRESS, MD5, SHA2, md5, sha256

from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy.identity import NORMALIZATIONS, Identity, identify
from target_liveintent.privacy.suppression import Suppressions

SECRET = "ann.s3cr3t"


def load(folder: Path, content: str | bytes) -> Suppressions:
    path = folder / "people.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Suppressions(str(path))


def who(address: str, normalization: str = "gmail") -> Identity:
    return identify([address], normalization)


@pytest.mark.parametrize("content", ["", "\n \n", "# comment\n\n", "\ufeff# x\n"])
def test_an_empty_file_suppresses_nobody(tmp_path: Path, content: str) -> None:
    """A list without entries is accepted, and so is no list."""
    for people in (load(tmp_path, content), Suppressions(None)):
        assert not people
        assert not people.contains(who(ADDRESS))
    assert Suppressions(None).warnings == load(tmp_path, MD5).warnings == []
    assert "names nobody, so nobody is left out" in load(tmp_path, content).warnings[0]


@pytest.mark.parametrize(
    "address",
    [
        *(ADDRESS, ADDRESS.upper(), f"  {ADDRESS}\t", "J.D+x@Example.com", "o'neil@example.co.uk"),
        *("#hash@example.com", "ÄNN@exämple.com", "a" * 64 + "@example.com"),
    ],
    ids=str,
)
def test_an_address_counts_under_every_normalization(tmp_path: Path, address: str) -> None:
    """An event may have the md5, the sha2, or both."""
    people = load(tmp_path, f"{address}\n")
    assert people
    for normalization in NORMALIZATIONS:
        identity = who(address, normalization)
        assert people.contains(identity)
        assert people.contains(Identity(None, identity.sha2))
        assert people.contains(Identity(identity.md5, None))
        assert not people.contains(who("other@example.com", normalization))
    assert not people.contains(Identity(None, None))


@pytest.mark.parametrize(
    "line",
    [MD5, f"0x{MD5.upper()}", f" {SHA2} ", SHA2.upper()],
    ids=["md5", "md5 with a prefix", "sha2, white space around", "sha2 in upper case"],
)
def test_a_hash_stops_what_carries_it(tmp_path: Path, line: str) -> None:
    """An md5 alone cannot stop an event of which only a sha2 is known."""
    people = load(tmp_path, line)
    assert people.contains(Identity(MD5, SHA2))
    assert people.contains(Identity(MD5, None)) == (MD5 in line.lower())
    assert people.contains(Identity(None, SHA2)) == (SHA2 in line.lower())
    assert not people.contains(Identity(md5("x"), sha256("x")))


JOHN_AT_GMAIL = ("john.doe@gmail.com", "johndoe@gmail.com", "J.o.h.n.Doe+x@GMAIL.com")


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("entries", "stopped"),
    [
        # A mailing tool exports hashes of the lower-case address, others those of each rule.
        *(((md5(form), sha256(form)), "John.Doe@gmail.com") for form in JOHN_AT_GMAIL[:2]),
        *(((form, f"Jane <{form}>"), "John.Doe@gmail.com") for form in JOHN_AT_GMAIL),
        (("jane.roe+shop@example.com", sha256("janeroe@example.com")), "Jane.Roe@example.com"),
        # What nobody sees makes no other person.
        (("jäne@example.com", sha256("jäne@example.com")), "\u202aJA\u200b\u0308NE@example.com"),
    ],
    ids=[
        *(f"hashes of {form}" for form in JOHN_AT_GMAIL[:2]),
        *(f"address {form}" for form in JOHN_AT_GMAIL),
        "tag and dots elsewhere",
        "invisible characters",
    ],
)
def test_an_entry_stops_each_spelling_of_a_person(
    tmp_path: Path, normalization: str, entries: tuple[str, ...], stopped: str
) -> None:
    """It may be any hash of the address, whatever the normalization of what is sent."""
    for entry in entries:
        people = load(tmp_path, entry)
        assert people.contains(who(stopped, normalization)), entry
        assert not people.contains(who("johndo@gmail.com", normalization))


@pytest.mark.parametrize(
    "entry",
    [MD5, SHA2, sha256("jane@example.com"), "jane@example.com"],
    ids=["md5", "sha2", "hash of second address", "second address"],
)
def test_an_entry_stops_a_record_with_any_hash_or_address_of_the_person(
    tmp_path: Path, entry: str
) -> None:
    """A hash counts that contradicts the address and is not sent, and so does a second address."""
    people = load(tmp_path, entry)
    assert people.contains(identify(["jane@example.com", MD5, SHA2]))
    assert people.contains(identify([ADDRESS, "jane@example.com"]))


@pytest.mark.parametrize(
    ("start", "end"),
    [("", "\r\n"), ("", "\r"), ("", "\n\n"), ("\ufeff", "\n"), ("# head\n", "\n"), ("\n", "\n")],
    ids=ascii,
)
def test_files_of_any_system_are_read(tmp_path: Path, start: str, end: str) -> None:
    """A byte order mark, Windows line ends, blank lines, and a last line without an end."""
    lines = ["a@example.com", MD5, "# b@example.com", sha256("c@example.com"), "d@example.com"]
    people = load(tmp_path, start + end.join(lines))
    for identity in (who("a@example.com"), who("c@example.com"), who("d@example.com")):
        assert people.contains(identity)
    assert people.contains(Identity(MD5, None))
    assert not people.contains(who("b@example.com"))


def assert_private(error: BaseException, secret: str = SECRET) -> None:
    """Check that an error names the setting in one line, and shows nothing of its file."""
    message = str(error)
    assert "suppression_path" in message
    assert "\n" not in message
    assert secret not in message
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize(
    "line",
    [
        *(
            f"*{SECRET}@example.com",
            f"{SECRET}@example",
            f"b@c.de <{SECRET}@example.com>",
            f"{SECRET}@example.com,",
        ),
        *(f"{SECRET}@example.com b@example.com", f"{SECRET}@example.com # left in May"),
        *(f"mailto:{SECRET}%40example.com", MD5[:-1], MD5 + "0", "g" * 32, f"md5:{SHA2}"),
        "\x00",
    ],
    ids=str,
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    """A line that suppresses no person ends the run; the message does not show the line."""
    with pytest.raises(ConfigurationError, match="line 4") as raised:
        load(tmp_path, f"a@example.com\n\n# x\n{line}\n{MD5}\n")
    assert_private(raised.value, line)
    assert_private(raised.value)


@pytest.mark.parametrize(
    "content",
    [b"a@example.com\n\xff\xfe\n", "a@b.com".encode("utf-16")],
    ids=["bytes that are no text", "UTF-16"],
)
def test_text_in_another_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="must be a text file in UTF-8"):
        load(tmp_path, content)


@pytest.mark.parametrize(
    "path",
    ["nowhere.txt", ".", "people.txt/x", "a\0b", "\ud800", "x" * 300],
    ids=str,
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A run must not send without the list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.txt").write_text("a@example.com\n")
    with pytest.raises(ConfigurationError) as raised:
        Suppressions(path)
    assert f"suppression_path {path!r} cannot be read: " in str(raised.value)
    assert_private(raised.value)


def test_a_file_elsewhere_is_read_and_its_url_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The URL of a file on another file system is read in the same way.

    If it cannot be read, the message shows nothing of the URL, which may hold credentials.
    """
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/{SECRET}/people.txt", b"\xef\xbb\xbf# people\r\n" + ADDRESS.encode())
    people = Suppressions(f"memory://{SECRET}/people.txt")
    memory.rm(f"/{SECRET}", recursive=True)
    assert people.contains(who(ADDRESS))
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for url, said in {
        f"memory://{SECRET}/people.txt": "it does not exist",
        f"unheard-of://u:{SECRET}@example.com/people.txt": "ValueError",
        f"gs://{SECRET}/a": "install the package that fsspec needs for gs://",
    }.items():
        with pytest.raises(ConfigurationError, match=said) as raised:
            Suppressions(url)
        assert_private(raised.value)
