"""Finds the known name that the author of an unknown name probably meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_SIMILAR = 0.75
"""The minimum ratio of `difflib` at which two names count as similar."""
_LEAST_LETTERS, _LETTERS_FOR_TWO_EDITS = 5, 8
"""How many letters a known name must have so that one edit is allowed, and so that two are."""
_MOST_EDITS = 2


def similar_name(name: str, known_names: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a name; None if no known name is similar."""
    import difflib  # noqa: PLC0415 (few runs need `difflib`)

    names = {known.lower(): known for known in known_names}
    similar = difflib.get_close_matches(name.lower(), names, n=1, cutoff=_SIMILAR)
    return names[similar[0]] if similar else None


def did_you_mean(name: str, known_names: Iterable[str]) -> str:
    """Return a suggestion for the end of a message; an empty text if no known name is similar."""
    similar = similar_name(name, known_names)
    return "" if similar is None else f"; did you mean '{similar}'?"


def meant_name(name: str, our_names: Collection[str], given: Collection[str] = ()) -> str | None:
    """Return the known name that an unknown name probably means; None without such a name.

    Case, underscores and other signs do not count. An edit adds, removes or replaces a letter, or
    swaps two adjacent letters. The number of letters in the known name decides how many edits are
    allowed:

    - Fewer than five letters allow no edit, because `paid` and `aaid` are different words. Only
      `__else__` allows one edit.
    - Five to seven letters allow one edit, so `order_no` does not mean `order_id`.
    - Eight or more letters allow two edits, or only one edit if the user gave the known name too: a
      map with `event_time` may also have a column `event_type`.

    Args:
        name: The unknown name.
        our_names: The known names.
        given: All names that the user gave.
    """
    if name in our_names:
        return None
    near = []
    for known in our_names:
        letters, allowed = _plain(known), 1
        if len(letters) < _LEAST_LETTERS and not known.startswith("__"):
            allowed = 0
        elif len(letters) >= _LETTERS_FOR_TWO_EDITS and known not in given:
            allowed = _MOST_EDITS
        if (edits := _edits(_plain(name), letters)) <= allowed:
            near.append((edits, _edits(name.casefold(), known), known))
    return min(near)[2] if near else None


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _edits(word: str, other: str) -> int:
    """Return the number of edits that turn one word into the other, or any number above two.

    The number is the Damerau-Levenshtein distance in its variant "optimal string alignment".
    """
    if abs(len(word) - len(other)) > _MOST_EDITS:
        return _MOST_EDITS + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        before, last, row = row, before, [i]
        for j, of_other in enumerate(other, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != of_other))
            if last and j > 1 and (letter, of_other) == (other[j - 2], word[i - 2]):
                edits = min(edits, last[j - 2] + 1)
            row.append(edits)
    return row[-1]
