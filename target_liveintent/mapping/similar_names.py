"""Finds the known name that an unknown name was probably meant to be."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_SIMILAR = 0.75
"""The least similarity of two names, by `difflib`: `pixel` and `pixel_id` have 0.77."""
_LEAST_LETTERS, _LETTERS_FOR_TWO_EDITS = 5, 8
"""The least letters of our name for which one edit, or two edits, may be a mistake."""
_MOST_EDITS = 2


def similar_name(name: str, known_names: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a name; None if none is similar."""
    import difflib  # noqa: PLC0415 (few runs need it)

    names = {known.lower(): known for known in known_names}
    similar = difflib.get_close_matches(name.lower(), names, n=1, cutoff=_SIMILAR)
    return names[similar[0]] if similar else None


def did_you_mean(name: str, known_names: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the most similar known name, if one is similar."""
    similar = similar_name(name, known_names)
    return "" if similar is None else f"; did you mean '{similar}'?"


def meant_name(name: str, our_names: Collection[str], given: Collection[str] = ()) -> str | None:
    """Return the name of ours that an unknown name probably means; None if none is similar.

    Two names are the same if they differ only in upper and lower case, in underscores or in other
    signs. Otherwise, the names may differ by edits: a letter is added, removed or replaced, or two
    neighbours are exchanged. The allowed edits depend on the letters of our name, without signs:

    - Fewer than five: none, because another word is near, such as `paid` near `aaid`. (`__else__`
      allows one.)
    - Five to seven: one. So `order_no` is not meant to be `order_id`.
    - Eight or more: two; but one if our name is `given` too: `event_time` beside `event_type`.
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
    """Return how many edits turn a word into the other word; more than two may be any number.

    This is the Damerau-Levenshtein distance in the form "optimal string alignment".
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
