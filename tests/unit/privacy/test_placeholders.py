"""The table of placeholders: texts that stand for nobody, and their hashes."""

from __future__ import annotations

import pytest
from unit_support import LI_DID, MD5, SHA2, md5, sha256

from target_liveintent.conversions.coerce import UNUSABLE
from target_liveintent.conversions.decisions import decision_id
from target_liveintent.privacy.identity import NORMALIZATIONS, Identity, identify
from target_liveintent.privacy.placeholders import JUNK_HASHES, is_placeholder

TEXTS = (
    *("undefined", "none", "null", "nil", "nan", "unknown", "(not set)", "n/a", "", "true"),
    *("false", "#n/a", "<null>", "not_set", "00000000-0000-0000-0000-000000000000", "0" * 32),
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_and_its_hashes(text: str) -> None:
    """A text that stands for nobody is no decision ID, and its hashes identify nobody either."""
    for variant in (text, text.upper(), text.title(), text.capitalize()):
        assert is_placeholder(variant)
        assert is_placeholder(f" {variant}\n")
        assert decision_id(f" {variant}\t") is (UNUSABLE if text else None)
        for junk in (md5(variant), sha256(variant).upper()):
            assert identify([junk], NORMALIZATIONS["gmail"]) == Identity(None, None, ("email",))


@pytest.mark.parametrize("text", ["NaN", "[object Object]"])
def test_spellings_of_programs(text: str) -> None:
    """JavaScript's own spellings are hashed as they are."""
    assert md5(text) in JUNK_HASHES
    assert is_placeholder(text)


@pytest.mark.parametrize("text", [LI_DID, MD5, SHA2, "nobody", "null-1", "x" * 1_000, "1"])
def test_what_is_none(text: str) -> None:
    assert not is_placeholder(text)
    assert text not in JUNK_HASHES


def test_hashes_of_zeros() -> None:
    """Some programs write zeros where they have no hash."""
    assert {"0" * 32, "0" * 64} <= JUNK_HASHES
    assert is_placeholder("0" * 64)
