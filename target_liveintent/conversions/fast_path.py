"""Builds the conversions of usual records by a function that is generated for each stream.

`EventBuilder` defines the rules. The function that is generated here makes the same conversion in
less than half of the time, because its code names the columns of the stream one after the other. It
uses the same coercions, remembers what they returned for a text, and lets `privacy` hash and clean
what is to be hashed and cleaned. If anything is odd about a record, the function raises an error
before it counts anything, and `EventBuilder` has to build the event.

In the generated code, a column `x` of `FIELDS` is `given_x` as it came, and `sent_x` as it is sent.
The names of a tap's columns occur in texts only, so they cannot collide with names of the code.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import msgspec

from target_liveintent.conversions import coerce, event_model
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.privacy.addresses import holds_address
from target_liveintent.privacy.identity import derive_event_id, hash_address, identify
from target_liveintent.privacy.redaction import LONGEST_TEXT
from target_liveintent.privacy.urls import clean_url

Usual: TypeAlias = Callable[[dict[str, Any], float, Counter[str]], event_model.Conversion | None]
"""Takes a record of the tap, the Unix time, and the counts of what events lack, as `EventBuilder`
does. Returns the conversion; None if the stream's filter drops the record. An odd record raises an
error of any kind."""
Page: TypeAlias = tuple[str | None, str | None, str | None]
"""A page's URL for a dead letter, the same for the API, and the decision ID in it."""

_REMEMBERED = 1_024
"""How many texts of a column are remembered with their results."""
_UUID_LENGTH = 36
_LONGEST_TIME = 26
"""Characters of a time without an offset whose seconds have six digits."""
_SENT_AS_IS = re.compile(
    r"(?!(?:None|null|NULL|NaN|nan|Infinity|inf|-Infinity|-inf)\Z)[0-9A-Za-z_.:/#-]{1,128}"
)
"""Texts that no rule changes, such as most IDs."""
_UUID = re.compile(rf"(?!0{{8}}-){coerce.UUID_FORM.pattern}")
"""UUIDs but for some that a source may write in place of one, such as that of zeros alone."""


def odd_record(*_: Any) -> NoReturn:
    """Say that `EventBuilder` has to build the event of a record."""
    raise ValueError


def usual_way(  # noqa: PLR0913 (an argument for each thing that it is made of)
    builder: EventBuilder,
    inputs: Mapping[str, str],
    environment: Mapping[str, Any],
    *,
    test: str | None = None,
    empty: Iterable[str] = (),
    consents: Iterable[str] = (),
) -> Usual:
    """Generate the function of a stream. It treats all records as odd if none can be usual.

    `inputs` has Python code of each column's value in `record`. Columns that no event has are
    computed, too, because a record is rejected if that fails. `environment` says what other names
    in this code mean, which begin with an underscore. `test` is the code of the stream's filter,
    and `empty` are the tap's columns that have no value in a usual record; those of `consents` say
    yes if it has them.
    """
    if "event_time" not in builder.columns:
        return odd_record
    lines = [*_lines(builder, inputs, test, empty)]
    for column in consents:
        lines.insert(0, f"if {column!r} in record and not consent(record[{column!r}]): odd()")
    source = "\n    ".join(["def build(record, now, left_out):", *lines])
    function: Usual = compiled(source, {**environment, **_names(builder)}, "exec")["build"]
    return function


def compiled(source: str, names: Mapping[str, Any], mode: str) -> Any:
    """Run generated code that knows only these names, and no builtins.

    Returns:
        The value of an expression (`eval`), or else all names after the code has run (`exec`).
    """
    known = {**names, "__builtins__": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # The user may write `x is 'a'`.
        code = compile(source, "<stream map>", mode)
    value = eval(code, known)  # noqa: S307 (of code that the compiler of expressions let through)
    # Methods such as `strptime` and `timetuple` import a module in C, by the `__import__` that they
    # find through the globals of their caller. The function itself keeps the builtins that it was
    # made with, which are none: no name of an expression means `__import__`.
    known["__builtins__"] = {"__import__": __import__}
    return known if mode == "exec" else value


def _lines(
    builder: EventBuilder, inputs: Mapping[str, str], test: str | None, empty: Iterable[str]
) -> Iterator[str]:
    """Yield the lines of the function, in the order in which `EventBuilder.build` works."""
    there = builder.columns
    if builder.undeclared:  # (With the names in the code, this takes less time than with a set.)
        yield f"if {' or '.join(f'{one!r} in record' for one in sorted(builder.undeclared))}: odd()"
    for column in empty:
        yield f"if {column!r} in record and record[{column!r}] is not None: odd()"
    if test is not None:
        yield f"if not ({test}): return None"
    # (A column that only passes through may be absent: then reading it fails, so it is odd.)
    passed = {name: f"record.get({name!r})" for name in builder.mapped_keys or ()}
    mapped_keys = [name for name, code in passed.items() if inputs.get(name, code) != code]
    yield from _columns(inputs, there, mapped_keys)
    if "consent" in there:
        yield "if given_consent is not True and not consent(given_consent): odd()"
    yield from _identity(builder)
    yield _read("event_id", there)
    yield "has_no_id = sent_event_id is None"
    yield f"if has_no_id: sent_event_id = derived_id(({_keys(builder, mapped_keys)}))"
    yield "sent_event_time = time(given_event_time)"
    for name in ("source", "pixel_id"):
        yield _read(name, there)
        yield f"if sent_{name} is None: sent_{name} = default_{name}"
    yield "expires_at = sent_event_time + lifetimes[sent_source]"
    yield "if sent_pixel_id is None or sent_event_time >= now - 1 or expires_at <= now: odd()"
    yield from _optional(builder)
    yield "for note in identity.notes: left_out[note] += 1"
    if "event_id" in there:
        yield "if has_no_id: left_out['event_id empty'] += 1"
    for name in (name for name in coerce.OPTIONAL if name in there):
        yield f"if sent_{name} is None: left_out[{name + ' empty'!r}] += 1"
    user, purchase = (
        _call("UserData", event_model.UserData),
        _call("PurchaseData", event_model.PurchaseData),
    )
    event = _call("Event", event_model.Event, user_data=user, purchase_data=purchase)
    kept = [name for name in there if name not in builder.hashed and name != "event_id"]
    if "source_url" in there and "decision_id" not in there:  # The page may have one.
        kept.append("decision_id")
    columns = ", ".join(f"{name!r}: given_{name}" for name in kept)
    yield f"return Conversion(stream, {event}, expires_at, {{{columns}}}, identity.others)"


def _columns(
    inputs: Mapping[str, str], there: Collection[str], mapped_keys: Sequence[str]
) -> Iterator[str]:
    """Yield the lines that compute the columns, each once, and remember those that are keys."""
    for name, code in inputs.items():
        computed = code
        if name in mapped_keys:
            computed = f"key_{mapped_keys.index(name)}"
            yield f"{computed} = {code}"
        yield f"given_{name} = {computed}" if name in there else f"({computed})"


def _keys(builder: EventBuilder, mapped_keys: Sequence[str]) -> str:
    """Return the code of the values of which an event ID is derived, with a comma behind each."""
    names = builder.lasting_keys if builder.mapped_keys is None else builder.mapped_keys
    codes = {name: f"record[{name!r}]" for name in names}
    codes |= {name: f"key_{number}" for number, name in enumerate(mapped_keys)}
    return "".join(f"{code}, " for code in codes.values())


def _identity(builder: EventBuilder) -> Iterator[str]:
    """Yield the lines that hash the address, the only identity of a usual record."""
    yield "identity = None"
    if "email" in builder.hashed:
        alone = [f"given_{name} is None" for name in builder.hashed if name != "email"]
        yield f"if {' and '.join(['type(given_email) is str', *alone])}:"
        yield "    identity = hash_address(given_email.strip(), normalization)"
    candidates = "".join(f"given_{name}, " for name in builder.hashed)
    yield f"if identity is None: identity = identify(({candidates}), normalization, hashed)"
    yield "if identity.notes and not hashed_notes.isdisjoint(identity.notes): odd()"
    yield "sent_md5 = identity.md5"
    yield "sent_sha2 = identity.sha2"
    if builder.suppressions:
        yield "if suppressed(identity): odd()"


def _optional(builder: EventBuilder) -> Iterator[str]:
    """Yield the lines that read the optional columns, and check that the event has an identity."""
    there = builder.columns
    for name in coerce.OPTIONAL:
        if name != "source_url" or name not in there:
            yield _read(name, there)
    if "source_url" in there:
        if "decision_id" not in there:
            yield "given_decision_id = None"
        yield "given_source_url, sent_source_url, of_page = pages[given_source_url]"
        yield "if sent_decision_id is None and of_page is not None:"
        yield "    given_decision_id = sent_decision_id = of_page"
    yield "if sent_md5 is None and sent_sha2 is None and sent_decision_id is None: odd()"


def _read(name: str, there: Collection[str]) -> str:
    """Return the line that reads a column, if it is there."""
    if name not in there:
        return f"sent_{name} = None"
    given = f"given_{name}"
    code = f"read_{name}[{given}]"
    if name in _TESTS:
        kind = _TESTS[name][0].__name__
        code = f"{given} if type({given}) is {kind} and is_usual_{name}({given}) else {code}"
    return f"sent_{name} = {code}"


def _call(name: str, struct: Any, **objects: str) -> str:
    """Return the code that makes a struct of an event. Names of arguments would take longer."""
    members = {member: f"sent_{member}" for member in struct.__struct_fields__} | objects
    return f"{name}({', '.join(members.values())})"


def _names(builder: EventBuilder) -> dict[str, Any]:
    """Return the values of the names in the lines that are not columns."""
    same: tuple[Any, ...] = (
        *(
            event_model.Conversion,
            event_model.Event,
            event_model.PurchaseData,
            event_model.UserData,
            float,
            str,
            type,
        ),
        *(coerce.consent, hash_address, identify),
    )
    names: dict[str, Any] = {one.__name__: one for one in same} | {
        "default_pixel_id": builder.defaults.pixel_id,
        "default_source": builder.defaults.source,
        "derived_id": _derivation(builder),
        "hashed": builder.hashed,
        "hashed_notes": frozenset(builder.hashed),
        "lifetimes": {
            source: window - event_model.MARGIN for source, window in event_model.WINDOWS.items()
        },
        "normalization": builder.defaults.normalization,
        "odd": odd_record,
        "pages": _Pages(builder),
        "stream": builder.stream,
        "time": _time_reader(builder.defaults.zone),
    }
    if builder.suppressions:
        names["suppressed"] = builder.suppressions.contains
    for name, coercion in coerce.COERCIONS.items():
        names[f"read_{name}"] = _Remembered(coercion)
    return names | {f"is_usual_{name}": test for name, (_, test) in _TESTS.items()}


class _Remembered(dict[Any, Any]):
    """What a column's values are sent as. Texts are read once, and their results remembered.

    A value that no event can have, or that holds an address, raises an error.
    """

    def __init__(self, coercion: Callable[[Any], Any]) -> None:
        self._coercion = coercion

    def __missing__(self, value: Any) -> Any:
        sent = self._coercion(value)
        if sent is coerce.UNUSABLE or (isinstance(value, str) and holds_address(value)):
            odd_record()
        # (1, 1.0 and True would be the same key.)
        if value is None or (type(value) is str and len(value) <= LONGEST_TEXT):
            if len(self) >= _REMEMBERED:
                self.clear()
            self[value] = sent
        return sent


class _Pages(dict[Any, Page]):
    """What is read of the URLs of pages; remembers those that need no change.

    What is removed may be an address, which must not stay in memory. If URLs differ in nothing but
    their decision ID, only the first one is checked.
    """

    def __init__(self, builder: EventBuilder) -> None:
        self._kept_parameters = builder.kept_parameters
        self._checked: set[tuple[str, str]] = set()  # What is before and after the decision ID.

    def __missing__(self, url: str | None) -> Page:
        if url is None:
            return None, None, None
        head, has_id, rest = url.partition("li_did=")
        if has_id:
            decision_id, tail = rest[:_UUID_LENGTH], rest[_UUID_LENGTH:]
            if (head, tail) in self._checked and _UUID.fullmatch(decision_id):
                return url, url, decision_id
        if len(url) > LONGEST_TEXT:
            odd_record()
        found, cleaned = coerce.decision_id_of_url(url), clean_url(url, self._kept_parameters)
        sent = coerce.text(cleaned)
        if isinstance(found, coerce.Unusable) or isinstance(sent, coerce.Unusable):
            odd_record()
        if holds_address(cleaned):
            odd_record()
        as_read = cleaned, sent, found
        if cleaned == url:
            if len(self) >= _REMEMBERED:
                self.clear()
                self._checked.clear()
            self[url] = as_read
            # An ID that is the whole value of a parameter may be another one in the next URL.
            is_id = has_id and as_read == (url, url, decision_id)
            if is_id and head.endswith(("?", "&")) and tail[:1] in ("", "&", "#"):
                self._checked.add((head, tail))
        return as_read


def _time_reader(zone: dt.tzinfo) -> Callable[[Any], Any]:
    """Return a reader of event times; for another value, an addition to its result fails."""

    def time(value: Any) -> Any:
        # (A seventh digit of a second would be rounded.)
        if type(value) is str and (len(value) <= _LONGEST_TIME or not value[26].isdigit()):
            try:
                passed = msgspec.convert(value, dt.datetime) - coerce.EPOCH
            except (msgspec.ValidationError, UnicodeError, TypeError):  # Another form, or no zone.
                pass
            else:
                return passed.days * event_model.DAY + passed.seconds
        return coerce.unix_time(value, zone)

    return time


def _derivation(builder: EventBuilder) -> Callable[[Sequence[Any]], str]:
    """Return a function that derives an event ID from the values of the keys of a record."""

    def derived_id(values: Sequence[Any]) -> str:
        keys = [coerce.text(value) for value in values]
        if coerce.UNUSABLE in keys or not any(keys):
            odd_record()
        return derive_event_id(builder.stream, builder.named_keys(keys))

    return derived_id


_TESTS: dict[str, tuple[type, Callable[[Any], object]]] = {
    "event_id": (str, _SENT_AS_IS.fullmatch),
    "order_id": (str, _SENT_AS_IS.fullmatch),
    "decision_id": (str, _UUID.fullmatch),
    "value": (float, math.isfinite),
}
"""Columns with a different value in most records: the usual type, and what is sent unchanged."""
