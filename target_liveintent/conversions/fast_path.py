"""The fast path: generates a function for each stream that builds conversions quickly.

`EventBuilder` defines the rules. The generated function returns the same conversion in less than
half of the time, because its code reads each column by name, without loops. The function uses the
same coercions, remembers their results for texts, and calls the same functions of `privacy`.

The function handles only records without problems. For any other record, such as a record without
consent or with an unusable value, it raises a `SlowPathError`. Then `EventBuilder` handles the
record. Any other exception is an error in this module, and ends the run.

In the generated code, `given_x` is the value of the column `x` after the map, and `sent_x` is the
value that is sent. The names of a tap's columns occur only inside string literals, so they cannot
collide with names of the code. `explain --show-code` prints the code.
"""

from __future__ import annotations

import datetime as dt
import inspect
import linecache
import math
import re
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import msgspec

from target_liveintent.conversions import coerce, event_model
from target_liveintent.conversions.builder import IN_LOCAL_TIME, EventBuilder
from target_liveintent.conversions.fields import COERCIONS, OPTIONAL
from target_liveintent.privacy.addresses import holds_address
from target_liveintent.privacy.identity import derive_event_id, hash_address, identify
from target_liveintent.privacy.redaction import LONGEST_TEXT
from target_liveintent.privacy.urls import clean_url
from target_liveintent.remarks import COLUMN_EMPTY, COLUMN_UNUSABLE, Remark, Remarks

FastPath: TypeAlias = Callable[[dict[str, Any], float], event_model.Conversion | None]
"""A function of a tap's record and the Unix time. The function returns the conversion, or None if
the stream's filter drops the record. It raises a `SlowPathError` if `EventBuilder` must handle
the record."""
Page: TypeAlias = tuple[str | None, str | None, str | None]
"""The URL of a page for a dead letter, the URL for the API, and the decision ID in the URL."""

EXPRESSION_FAILED, CHANCE = "expression", "chance"
"""The causes of a `SlowPathError` that are not the name of a column: an expression of the map
fails, or the map has a random expression. (`EventBuilder` would evaluate a random expression again,
and get another value. So the fast path does not evaluate it.)"""
_REMEMBERED = 1_024
"""The greatest number of texts of a column that are remembered with their results."""
_UUID_LENGTH = 36
_LONGEST_TIME = 26
"""The length of a time with six decimals in its seconds, and without an offset."""
_SENT_AS_IS = re.compile(
    r"(?!(?:None|null|NULL|NaN|nan|Infinity|inf|-Infinity|-inf)\Z)[0-9A-Za-z_.:/#-]{1,128}"
)
"""Matches texts that no rule changes, such as most IDs."""
_UUID = re.compile(rf"(?!0{{8}}-){coerce.UUID_FORM.pattern}")
"""Matches UUIDs, except UUIDs that begin with eight zeros, which may be placeholders."""


class SlowPathError(Exception):
    """Raised for a record that the fast path cannot convert, so that `EventBuilder` handles it.

    Attributes:
        cause: The name of the column that is the cause, `EXPRESSION_FAILED` or `CHANCE`.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def use_slow_path(cause: str) -> NoReturn:
    """Raise a `SlowPathError`, so that `EventBuilder` handles the record."""
    raise SlowPathError(cause)


def compile_fast_path(  # noqa: PLR0913 (an argument for each thing that it is made of)
    builder: EventBuilder,
    inputs: Mapping[str, str],
    environment: Mapping[str, Any],
    *,
    test: str | None = None,
    empty: Iterable[str] = (),
    consents: Iterable[str] = (),
) -> FastPath | None:
    """Return the generated function of a stream; None if the stream lacks `event_time`.

    Args:
        builder: The builder of the stream's events.
        inputs: For each column, the Python code that computes the column from `record`. The
            function also computes columns that no event has, because a failing expression rejects
            the record.
        environment: The values of other names in this code. These names begin with an underscore.
        test: The code of the stream's filter; None if the stream has no filter.
        empty: Columns of the tap. `EventBuilder` handles each record that has a value in one of
            them.
        consents: Columns of the tap. `EventBuilder` handles each record in which one of them is
            present, and does not grant consent.
    """
    if "event_time" not in builder.columns:
        return None
    mapped_keys = _mapped_keys(builder, inputs)
    lines = (
        *_refusals(builder, empty, consents),
        *_inputs(builder, inputs, test, mapped_keys),
        *_values(builder, mapped_keys),
        *_remarks(builder),
        *_result(builder),
    )
    source = "\n    ".join(["def build(record, now):", *lines]) + "\n"
    names = {**environment, **_names(builder)}
    name = f"conversion of the stream {builder.stream!r}"
    function: FastPath = compiled(source, names, "exec", name)["build"]
    return function


def compiled(source: str, names: Mapping[str, Any], mode: str, name: str) -> Any:
    """Run generated code that can use only these names, and no builtins.

    A traceback shows the lines of the code, because `linecache` has the source under this name.

    Returns:
        The value of an expression (mode `eval`), or all names after the code has run (`exec`).
    """
    known = {**names, "__builtins__": {}}
    # With the checksum in the name, only equal code has the same name.
    file = f"<{name} {zlib.crc32(source.encode(errors='replace')):08x}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # A map may contain `x is 'a'`.
        code = compile(source, file, mode)
    value = eval(code, known)  # noqa: S307 (`Compiler` checks the code of expressions)
    # Methods such as `strptime` and `timetuple` import a module. For this, the globals of their
    # caller need `__import__`. Expressions still cannot use it, because a function keeps the
    # builtins with which it was created, and these are empty.
    known["__builtins__"] = {"__import__": __import__}
    return known if mode == "exec" else value


def generated_source(function: Callable[..., Any]) -> str:
    """Return the source of a generated function."""
    return "".join(linecache.getlines(inspect.getfile(function)))


# The lines of the function, in the order in which `EventBuilder.build` works


def _refusals(
    builder: EventBuilder, empty: Iterable[str], consents: Iterable[str]
) -> Iterator[str]:
    """Yield the lines that find columns without consent, undeclared columns and deletion marks."""
    for name in consents:
        yield f"if {name!r} in record and not consent(record[{name!r}]): use_slow_path({name!r})"
    for name in sorted(builder.undeclared):
        yield f"if {name!r} in record: use_slow_path({name!r})"
    for name in empty:
        yield f"if {name!r} in record and record[{name!r}] is not None: use_slow_path({name!r})"


def _inputs(
    builder: EventBuilder, inputs: Mapping[str, str], test: str | None, mapped_keys: Sequence[str]
) -> Iterator[str]:
    """Yield the lines with the code of the map, which may raise any exception."""
    yield "try:"
    if test is not None:
        yield f"    if not ({test}): return None"
    for name, code in inputs.items():  # Each value is computed once. A key gets a variable.
        computed = code
        if name in mapped_keys:
            computed = f"key_{mapped_keys.index(name)}"
            yield f"    {computed} = {code}"
        yield f"    given_{name} = {computed}" if name in builder.columns else f"    ({computed})"
    yield f"except Exception: use_slow_path({EXPRESSION_FAILED!r})"


def _mapped_keys(builder: EventBuilder, inputs: Mapping[str, str]) -> list[str]:
    """Return the keys of a mapped record that the map computes.

    The code reads other keys from the record of the tap, where a key may be absent.
    """
    passed = {name: f"record.get({name!r})" for name in builder.mapped_keys or ()}
    return [name for name, code in passed.items() if inputs.get(name, code) != code]


def _values(builder: EventBuilder, mapped_keys: Sequence[str]) -> Iterator[str]:
    """Yield the lines that compute the values to send, and that check these values."""
    there = builder.columns
    if "consent" in there:
        yield "if given_consent is not True and not consent(given_consent):"
        yield "    use_slow_path('consent')"
    yield "sent_event_time, remarks = time(given_event_time)"
    yield from _identity(builder)
    yield "try:"
    yield from (f"    {line}" for line in (*_ids(builder, mapped_keys), *_optional(builder)))
    given = ", ".join(f"{name!r}: given_{name}" for name in there)
    # Lists and objects cannot be keys of a dict of remembered values.
    yield f"except TypeError: unhashable({{{given}}}); raise"
    yield (
        "if sent_md5 is None and sent_sha2 is None and sent_decision_id is None:"
        f" use_slow_path({_identifying(builder)!r})"
    )


def _identifying(builder: EventBuilder) -> str:
    """Return the column that is the cause if a record identifies nobody, or a suppressed person."""
    return next(iter(builder.hashed), "decision_id")


def _identity(builder: EventBuilder) -> Iterator[str]:
    """Yield the lines that make the identity from the address and the hashes of a record."""
    yield "identity = None"
    if "email" in builder.hashed:
        alone = [f"given_{name} is None" for name in builder.hashed if name != "email"]
        yield f"if {' and '.join(['type(given_email) is str', *alone])}:"
        yield "    identity = hash_address(given_email.strip(), normalization)"
    candidates = "".join(f"given_{name}, " for name in builder.hashed)
    yield f"if identity is None: identity = identify(({candidates}), normalization, hashed)"
    yield "if identity.remarks: remarks += usable(identity.remarks)"
    yield "sent_md5 = identity.md5"
    yield "sent_sha2 = identity.sha2"
    if builder.suppressions:
        yield f"if suppressed(identity): use_slow_path({_identifying(builder)!r})"


def _ids(builder: EventBuilder, mapped_keys: Sequence[str]) -> Iterator[str]:
    """Yield the lines that read the event ID, the source and the pixel ID, and check the age."""
    there = builder.columns
    yield _read("event_id", there)
    yield "has_no_id = sent_event_id is None"
    yield f"if has_no_id: sent_event_id = derived_id(({_keys(builder, mapped_keys)}))"
    for name in ("source", "pixel_id"):
        yield _read(name, there)
        is_known = getattr(builder.defaults, name) is not None
        otherwise = f"sent_{name} = default_{name}" if is_known else f"use_slow_path({name!r})"
        yield f"if sent_{name} is None: {otherwise}"
    yield "expires_at = sent_event_time + lifetimes[sent_source]"
    yield "if sent_event_time >= now - 1: use_slow_path('event_time')"


def _keys(builder: EventBuilder, mapped_keys: Sequence[str]) -> str:
    """Return the code of the key values for a derived event ID, with a comma after each value."""
    names = builder.lasting_keys if builder.mapped_keys is None else builder.mapped_keys
    codes = {
        name: f"record[{name!r}] if {name!r} in record else use_slow_path('event_id')"
        for name in names
    }
    codes |= {name: f"key_{number}" for number, name in enumerate(mapped_keys)}
    return "".join(f"{code}, " for code in codes.values())


def _optional(builder: EventBuilder) -> Iterator[str]:
    """Yield the lines that read the optional columns."""
    there = builder.columns
    for name in OPTIONAL:
        if name != "source_url" or name not in there:
            yield _read(name, there)
    if "source_url" in there:
        if "decision_id" not in there:
            yield "given_decision_id = None"
        yield "given_source_url, sent_source_url, of_page = pages[given_source_url]"
        yield "if sent_decision_id is None and of_page is not None:"
        yield "    given_decision_id = sent_decision_id = of_page"


def _read(name: str, there: Collection[str]) -> str:
    """Return the line that sets `sent_…` for a column, to None if the stream lacks the column."""
    if name not in there:
        return f"sent_{name} = None"
    given = f"given_{name}"
    code = f"read_{name}[{given}]"
    if name in _TESTS:
        kind = _TESTS[name][0].__name__
        code = f"{given} if type({given}) is {kind} and is_usual_{name}({given}) else {code}"
    return f"sent_{name} = {code}"


def _remarks(builder: EventBuilder) -> Iterator[str]:
    """Yield the lines that add remarks on empty columns and on the decision ID."""
    there = builder.columns
    if "event_id" in there:
        yield "if has_no_id: remarks += no_event_id"
    for name in OPTIONAL:
        if name in there:
            yield f"if sent_{name} is None: remarks += no_{name}"
    if "decision_id" in there:
        ids = "sent_decision_id, sent_event_id, sent_order_id"
        yield f"if sent_decision_id is not None: remarks += decision_id_remarks({ids}, record)"


def _result(builder: EventBuilder) -> Iterator[str]:
    """Yield the line that returns the conversion, with positional arguments for speed."""
    there = builder.columns
    user = _call("UserData", event_model.UserData)
    purchase = _call("PurchaseData", event_model.PurchaseData)
    event = _call("Event", event_model.Event, user_data=user, purchase_data=purchase)
    kept = [name for name in there if name not in builder.hashed and name != "event_id"]
    if "source_url" in there and "decision_id" not in there:  # The URL may have a decision ID.
        kept.append("decision_id")
    columns = ", ".join(f"{name!r}: given_{name}" for name in kept)
    values = f"stream, {event}, expires_at, {{{columns}}}, identity.others, remarks"
    yield f"return Conversion({values})"


def _call(name: str, struct: Any, **objects: str) -> str:
    """Return the code that creates a struct. `objects` has the code for the structs in it."""
    members = {member: f"sent_{member}" for member in struct.__struct_fields__} | objects
    return f"{name}({', '.join(members.values())})"


# What the names in the lines mean


def _names(builder: EventBuilder) -> dict[str, Any]:
    """Return the values of all names in the lines except variables."""
    same: tuple[Any, ...] = (
        *(event_model.Conversion, event_model.Event),
        *(event_model.PurchaseData, event_model.UserData),
        *(Exception, TypeError, float, str, type),
        *(coerce.consent, hash_address, identify, use_slow_path),
    )
    names: dict[str, Any] = {value.__name__: value for value in same} | {
        "decision_id_remarks": builder.decision_id_remarks,
        "default_pixel_id": builder.defaults.pixel_id,
        "default_source": builder.defaults.source,
        "derived_id": _derivation(builder),
        "hashed": builder.hashed,
        "lifetimes": {
            source: window - event_model.MARGIN for source, window in event_model.WINDOWS.items()
        },
        "normalization": builder.defaults.normalization,
        "pages": _Pages(builder),
        "stream": builder.stream,
        "time": _time_reader(builder.defaults.zone),
        "unhashable": _leave_unhashable,
        "usable": _usable,
    }
    if builder.suppressions:
        names["suppressed"] = builder.suppressions.contains
    for name, coercion in COERCIONS.items():
        names[f"read_{name}"] = _Remembered(name, coercion)
        names[f"no_{name}"] = (Remark(COLUMN_EMPTY, name),)
    return names | {f"is_usual_{name}": test for name, (_, test) in _TESTS.items()}


def _leave_unhashable(given: Mapping[str, Any]) -> None:
    """Raise a `SlowPathError` if a value of a column is not hashable."""
    for name, value in given.items():
        try:
            hash(value)
        except TypeError:  # noqa: PERF203 (few records come here)
            use_slow_path(name)


def _usable(remarks: Remarks) -> Remarks:
    """Return the remarks on an identity; raise a `SlowPathError` if a column is unusable."""
    for remark in remarks:
        if remark.kind == COLUMN_UNUSABLE:
            use_slow_path(remark.column)
    return remarks


class _Remembered(dict[Any, Any]):
    """Maps the values of a column to the values that are sent, and remembers results for texts.

    If a value cannot be sent, or contains an address, looking it up raises a `SlowPathError`.
    """

    def __init__(self, column: str, coercion: Callable[[Any], Any]) -> None:
        self._column = column
        self._coercion = coercion

    def __missing__(self, value: Any) -> Any:
        sent = self._coercion(value)
        if sent is coerce.UNUSABLE or (isinstance(value, str) and holds_address(value)):
            use_slow_path(self._column)
        # (Numbers are not remembered, because 1, 1.0 and True are the same key.)
        if value is None or (type(value) is str and len(value) <= LONGEST_TEXT):
            if len(self) >= _REMEMBERED:
                self.clear()
            self[value] = sent
        return sent


class _Pages(dict[Any, Page]):
    """Reads the URLs of pages, and remembers the URLs that need no change.

    If URLs differ only in their decision ID, only the first URL is checked. Changed URLs are not
    remembered: a removed part may be an address, which must not stay in memory.
    """

    def __init__(self, builder: EventBuilder) -> None:
        self._kept_parameters = builder.kept_parameters
        self._checked: set[tuple[str, str]] = set()  # The parts before and after the decision ID.

    def __missing__(self, url: Any) -> Page:
        if url is None:
            return None, None, None
        if not isinstance(url, str):
            use_slow_path("source_url")
        head, _, rest = url.partition("li_did=")
        decision_id, tail = rest[:_UUID_LENGTH], rest[_UUID_LENGTH:]
        if (head, tail) in self._checked and _UUID.fullmatch(decision_id):
            return url, url, decision_id
        page = self._read(url)
        if page[0] == url:
            self._remember(url, page)
            # If the ID is the whole value of a parameter, other URLs may differ only in this ID.
            is_id = page == (url, url, decision_id)
            if is_id and head.endswith(("?", "&")) and tail[:1] in ("", "&", "#"):
                self._checked.add((head, tail))
        return page

    def _read(self, url: str) -> Page:
        if len(url) > LONGEST_TEXT:
            use_slow_path("source_url")
        decision_id, cleaned = coerce.decision_id_of_url(url), clean_url(url, self._kept_parameters)
        sent = coerce.text(cleaned)
        if isinstance(decision_id, coerce.Unusable) or isinstance(sent, coerce.Unusable):
            use_slow_path("source_url")
        if holds_address(cleaned):
            use_slow_path("source_url")
        return cleaned, sent, decision_id

    def _remember(self, url: str, page: Page) -> None:
        if len(self) >= _REMEMBERED:
            self.clear()
            self._checked.clear()
        self[url] = page


def _time_reader(zone: dt.tzinfo) -> Callable[[Any], tuple[int, Remarks]]:
    """Return a function that reads an event time in Unix seconds, and returns remarks on the time.

    The function raises a `SlowPathError` for a time that cannot be used.
    """

    def time(value: Any) -> tuple[int, Remarks]:
        # (msgspec would round a seventh decimal of the seconds.)
        if type(value) is str and (len(value) <= _LONGEST_TIME or not value[26].isdigit()):
            try:
                passed = msgspec.convert(value, dt.datetime) - coerce.EPOCH
            except (msgspec.ValidationError, UnicodeError, TypeError):  # Another form, or no zone.
                pass
            else:
                return passed.days * event_model.DAY + passed.seconds, ()
        seconds, is_local = coerce.read_time(value, zone)
        if not isinstance(seconds, int):
            use_slow_path("event_time")
        return seconds, IN_LOCAL_TIME if is_local else ()

    return time


def _derivation(builder: EventBuilder) -> Callable[[Sequence[Any]], str]:
    """Return a function that derives an event ID from the values of the keys of a record."""

    def derived_id(values: Sequence[Any]) -> str:
        keys = [coerce.text(value) for value in values]
        if coerce.UNUSABLE in keys or not any(keys):
            use_slow_path("event_id")
        return derive_event_id(builder.stream, builder.named_keys(keys))

    return derived_id


_TESTS: dict[str, tuple[type, Callable[[Any], object]]] = {
    "event_id": (str, _SENT_AS_IS.fullmatch),
    "order_id": (str, _SENT_AS_IS.fullmatch),
    "decision_id": (str, _UUID.fullmatch),
    "value": (float, math.isfinite),
}
"""For columns whose values differ in most records: the usual type of a value, and a test that
accepts only values that are sent unchanged."""
