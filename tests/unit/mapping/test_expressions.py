"""Compiled stream maps against the SDK's evaluator: the same results, and the same refusals."""

import ast
import contextlib
import copy
import functools
import re
import types
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.mapper import CustomStreamMap
from unit_support import each_of, name_of

from target_liveintent.conversions import fields
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.expressions import Compiler
from target_liveintent.mapping.functions import FUNCTIONS, getter
from target_liveintent.mapping.reading import Path
from target_liveintent.mapping.stream_maps import MappingFailed, StreamMaps, StreamPlan

COLUMNS = (
    *("id", "total", "email", "customer", "tags", "is_test", "self", "int", "a b", "config"),
    *("get", "lower", "items", "amount", "number"),
)
SCHEMA = {"type": "object", "properties": {name: {} for name in COLUMNS}}
RECORDS: list[dict[str, Any]] = [
    {
        "id": 7,
        "total": Decimal("12.50"),
        "email": " Ann@Example.com ",
        "customer": {"email": "bo@example.com", "orders": [1, 2, 3], "name": None},
        "tags": ["vip", "sale"],
        "is_test": False,
        "a b": "spaced",
    },
    {
        "id": "x" * 20,
        "total": "87.28",
        "email": None,
        "customer": None,
        "tags": [],
        "is_test": True,
    },
    {"id": 0, "total": 3, "email": "", "customer": {}, "tags": None, "is_test": None},
    {"self": "mine", "int": "no function", "config": "a column", "total": 1.5, "id": -1},
    {
        "get": "got",
        "lower": {"b": "Low"},
        "items": [{"sku": "A-1", "prices": [1, 2]}, None, {"sku": ""}],
        "id": 1250,
        "email": "  Kwd",
        "total": Decimal("1250.0"),
    },
    {},
]


class _Theirs(CustomStreamMap):
    """The SDK's own map, which is given the helper functions and nothing else of ours."""

    def _init_faker_instance(self) -> None:
        """Without Faker, as in the package."""

    @property
    def functions(self) -> dict[str, Any]:
        return {**super().functions, **FUNCTIONS}

    def _eval(self, expr: Any, expr_parsed: Any, record: Any, property_name: Any) -> Any:
        self.expr_evaluator.functions["get"] = getter(record)
        return super()._eval(expr, expr_parsed, record, property_name)


@functools.cache
def theirs() -> Any:
    """The SDK's own map, for its evaluator."""
    return _Theirs(
        stream_alias="gifts",
        map_config={"shop": "berlin"},
        faker_config={},
        raw_schema=copy.deepcopy(SCHEMA),
        key_properties=[],
        map_transform={"id": "id"},
        flattening_options=None,
        stream_name="orders",
    )


def differences(
    expressions: Iterable[str], records: list[dict[str, Any]], column: str = "email"
) -> list[Any]:
    """Return the expressions of which compiled code and the SDK's evaluator make another value."""
    sdk = theirs()
    names = {"__stream_name__": "gifts", "__original_stream_name__": "orders"}
    found = []
    for text in expressions:
        tree = ast.parse(text).body[0]

        def evaluate(record: dict[str, Any], text: str = text, tree: Any = tree) -> Any:
            sdk.map_config = {"shop": "berlin"}
            return sdk._eval(text, tree, record, column)  # noqa: SLF001 (what is compared with)

        compiler = Compiler({"config": {"shop": "berlin"}, **names})
        compute = compiler.compile(column, text).compute
        for record in records:
            wanted = outcome(evaluate, record)
            made = outcome(compute, record)
            if wanted != made:
                found.append((text, record, wanted, made))
    return found


def outcome(compute: Callable[[dict[str, Any]], Any], record: dict[str, Any]) -> Any:
    """What an expression makes of a record; failures are all alike."""
    try:
        made = compute(copy.deepcopy(record))
    except Exception:  # noqa: BLE001 (any failure rejects the record)
        return "failed"
    return type(made), shown(made)


def shown(value: Any) -> str:
    """A value in words; functions of the same name are alike, wherever they are in memory."""
    if isinstance(value, types.FunctionType):
        return value.__name__
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def plan(definition: dict[str, Any], config: dict[str, Any] | None = None) -> StreamPlan:
    """Return what a map does with the stream `orders`."""
    (made,) = StreamMaps({"orders": definition}, config or {}).plans("orders", SCHEMA)
    return made


def made_of(definition: dict[str, Any], record: dict[str, Any]) -> Any:
    """Return what a map makes of a record."""
    return plan(definition).transform(record)


ATOMS = [
    *("id", "total", "email", "customer", "tags", "is_test", "self", "int", "nobody", "_"),
    *("record", "record", "'web'", "1", "1.5", "None", "True", "config", "config['shop']"),
    *("config.shop", "__stream_name__", "__original_stream_name__", "customer['email']"),
    *("customer.email", "_.get('total')", "_.get('nobody', 5)", "_['a b']", "record['id']"),
    *("record.get('email')", "tags[0]", "tags[-1]", "tags[0:1]", "tags[::2]", "email[:3]"),
    *("[id, total]", "(id, 'a')", "{'a': id}", "{'a': 1, **customer}", "[*tags]", "{1, 2}"),
    *("-total", "not email", "+id", "~id", "str(id)", "float(total)", "int(total)", "bool(email)"),
    *("md5(str(id))", "sha256('a')", "str(total).strip()", "email.strip().lower()"),
    *("(email or '').upper()", "email.upper", "json.dumps(customer)", "json.loads('[1]')"),
    *("datetime.datetime(2026, 1, 1).isoformat()", "datetime.date(2026, 1, 2)"),
    *("datetime.timedelta(days=1)", "datetime.datetime", "list(tags)", "dict(a=id)", "set(tags)"),
    *("tuple(tags)", "str", "int('7')", "int(x='7')", "f'{self}-{id}'", "f'{id:>5}'"),
    *("[t for t in tags]", "{t: 1 for t in tags}", "lambda: 1", "'a'.format(1)", "'{}'.format(id)"),
    *("email.__class__", "email._x", "().__class__", "id.real", "eval('1')", "open('x')"),
    *("nobody()", "id()", "(id)()", "str(*tags)", "dict(**customer)", "'a' * 200000", "'a' * 3"),
    *("10 ** 3", "10 ** 5000000", "1 << 3", "1 << 99999", "7 >> 1", "7 // 2", "7 % 2", "7 / 0"),
    *("'%s' % id", "1 @ 2", "5 & 3", "5 | 3", "5 ^ 3", "'a' + 'b'", "id if is_test else total"),
    *("email and email.strip()", "email or customer or 'none'"),
    *("float(total) if [t for t in tags] else str(id)", "not [t for t in tags or str(id)]"),
    *("id == 7", "id != 7", "0 <= id < 10", "'vip' in tags", "'vip' not in tags", "email is None"),
    *("email is not None", "1 < 2 < 3 < 0", "((_.get('customer') or {}).get('orders') or [0])[0]"),
    *("datetime.__doc__", "json.codecs", "json.decoder", "datetime.sys", "...", "b'x'", "1j"),
    *("customer.get('email')", "customer.nobody", "customer.orders[1]", "customer['orders'][::-1]"),
    *("None is None", "is_test is False", "email is None is False", "email is not None"),
    # The helper functions, where a column may have the name of one.
    *("get('id')", "get('customer.email')", "get('customer.name.first')"),
    *("get('customer.orders.1')", "get('customer.orders.-1')", "get('customer.orders.9')"),
    *("get('customer.orders.x')", "get('items.0.sku')", "get('items.1.sku')"),
    *("get('items.0.prices.-2')", "get('nobody.a')", "get('')", "get('.')", "get('a b')"),
    *("get('id.0')", "get('email.0')", "get('get')", "get('customer.' + 'email')"),
    *("get(config['shop'])", "get(email)", "get(id)", "get()", "get(path='id')", "get('id', 1)"),
    *("get('id', key=1)", "get(*tags)", "[get('id') for t in tags]", "f\"{get('id')}\""),
    *("{'a': str}.a(id)", "get.__globals__", "get.x"),
    *("coalesce(email, customer.email)", "coalesce(get('email'), get('customer.email'), id)"),
    *("coalesce()", "coalesce(None, '', '  ', 0)", "coalesce(is_test)"),
    *("[coalesce(t) for t in tags]", "minor_units(id, 'usd')", "minor_units(total, email)"),
    *("minor_units(get('id'), get('email'))", "amount(total)", "amount(get('email'), decimal='.')"),
    *("amount(total, ';')", "[amount(t) for t in tags]", "minor_units(id)"),
    *("minor_units(1250, 'JPY') + 1", "[minor_units(1250, c) for c in ['eur']]", "lower(email)"),
    *("strip(email)", "lower(strip(get('email')))", "lower(id)", "strip(customer)"),
    *("lower.b", "coalesce.__code__", "getter(record)"),
    *("walk(record, ['id'])", "_walk(record, ['id'])", "_getter(record)('id')"),
]
OPERATORS = ["+", "-", "*", "%", "and", "or", "==", "<", "in", "is"]
SIDES = ["id", "total", "email", "'a'", "2", "tags", "customer", "None"]
PAIRS = [f"{left} {one} {right}" for one in OPERATORS for left in SIDES for right in SIDES]


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@each_of(
    "expressions",
    {"forms": ATOMS, "operators": PAIRS},
)
def test_the_same_as_the_evaluator(expressions: list[str]) -> None:
    """Every expression gives for every record what the SDK gives, or fails where it fails."""
    assert differences(expressions, RECORDS) == []


READS: dict[str | None, tuple[str, ...]] = {
    "": ("'web'",),
    "total": ("total", "_.get('total')", "int(total)", "amount(total, decimal='.')"),
    "id, total": ("record['total'] or _['id']",),
    "customer, email, total": ("coalesce(get('email'), get('customer.email'), total)",),
    "email, self": ("self",),
    "a b.c": ("_.get('a b.c')",),
    "get": ("get",),
    "strip": ("lower(strip)",),
    None: ("str(_)", "record", "_.items()", "[t for t in tags]", "get(email)"),
}


def said(value: Any) -> str:
    """Return the part of a row's name for a value: columns, what is known, or the expression."""
    names = {"": "nothing", None: "all columns", (): "nothing known", ("a",): "a known"}
    return names.get(value) or str(value)


@pytest.mark.parametrize(
    ("expression", "reads"),
    [(one, reads) for reads, group in READS.items() for one in group],
    ids=said,
)
def test_the_columns_that_an_expression_reads_are_known(expression: str, reads: str | None) -> None:
    """The columns that an expression reads are decoded; if that is not known, all columns are."""
    found = plan({"email": expression, "__else__": "__NULL__"}).reads
    assert (None if found is None else ", ".join(sorted(found))) == reads
    # Columns of events that the map does not name pass through it.
    assert plan({"email": expression}).reads == (None if found is None else found | fields.COLUMNS)


def absent(expression: str, known: Path, **how: bool) -> list[str]:
    """Return what an expression lacks, if only one of the paths that it reads is there."""
    reading = Compiler({"config": {}}).compile("x", expression).reading
    return sorted(".".join(path) for path in reading.lacks(lambda path: path != known, **how))


PATHS_READ = {
    "": ("config['a'] + self + 'a'", "'a' in _", "str(record)", "'web'"),
    "a": (
        *("a", "get('a')", "_.get('a')", "record.get('a', '')", "_['a']", "get(a)"),
        *("a['b'].c", "((_.get('a') or {}).get('b') or {}).get('c')", "[a.b for x in 'y']"),
    ),
    "a.b": ("_.get('a.b')",),
    "a.b.0": ("get('a.b.0')",),
    "a b": (
        *("_.get('a', b)", "lower(get('a')) + a.strip() + str(x=b)", "f'{a} {b}'", "a[b]"),
        "{'x': 'web'}.get(lower(get('a')), b)",
        "[x.get('y') for x in get('a') or [] if x != b]",
    ),
    "a b c": ("a if b else c",),
}
ALTERNATIVES = {
    "": (
        *("coalesce(get('a'), get('b'))", "coalesce(get('b'), get('a'))", "coalesce()"),
        *("coalesce(get('b'), 'x', get('a'))", "coalesce(coalesce(get('b'), get('a')), get('c'))"),
        *("coalesce(lower(get('b')), get('a'))", "coalesce(get('b'), [x for x in _][0])"),
        *("coalesce(get('b'), get(str(config)))", "get('b') or get('a')"),
    ),
    "b": (
        *("coalesce(get('b'), 'x', True)", "coalesce(get('b'), get('a')) + get('b')"),
        *("get('b') or 'x'", "{'x': a}.get(b, 'y')", "get('b') == 'x' or get('a') == 'y'"),
        *("not get('b') or get('a')", "get('b') and get('a')"),
    ),
    "b c": (
        *("coalesce(get('b'), get('c'))", "coalesce(get('b') + 'x', get('c'))"),
        "get('b') or get('c')",
    ),
}


@pytest.mark.parametrize(
    ("expression", "known", "paths"),
    [
        (one, known, paths)
        for known, table in (((), PATHS_READ), (("a",), ALTERNATIVES))
        for paths, group in table.items()
        for one in group
    ],
    ids=said,
)
def test_an_expression_lacks_the_paths_that_it_reads(
    expression: str, known: Path, paths: str
) -> None:
    """Columns and steps are read by name, by `get`, and by indexes; functions are no columns.

    Of alternatives, one that is known is enough, where they are values and no conditions.
    """
    assert absent(expression, known) == paths.split()


PROTECTING = {
    # A constant says what holds without the column, and one side of an `or` is enough.
    "": (
        *("coalesce(get('b'), False)", "coalesce(get('b'), '')", "_.get('b', False)"),
        *("lower(_.get('b', '')) != 'x'", "_.get('b', get('a'))", "get('b') or 'x'"),
        *("get('b') or get('a')", "not coalesce(get('b'), False)", "coalesce(b, config['x'])"),
        *("get('b') == 'x' or get('a') == 'y'", "get('b') in ('x', 'y') or get('a')"),
        *("get('b') is True or get('a') is False", "is_true(get('b')) or a and coalesce(b, 0)"),
        *("number(get('b') or get('a')) > 0", "coalesce(get('b'), get('a')) is None"),
        "(get('b') or get('a')) != 'x'",
        *("lower(get('b') or get('a')) not in ('x',)", "record.get('b', 1) if a else None"),
    ),
    "b": (
        # A constant that only keeps the rest from failing says nothing.
        *("(_.get('b') or {}).get('c')", "_.get('b', {}).get('c')", "_.get('b', None)"),
        *("(get('b') or '') != 'x'", "(get('b') or 0) == 0", "get('b') or False"),
        *("coalesce(get('b'), None)", "coalesce(get('b'), {}).get('c')", "[*(get('b') or [])]"),
        # Without its column, a side would let everything pass.
        *("not get('b') or get('a')", "get('b') != 'x' or get('a') == 'x'"),
        *("get('b') is None or get('a')", "get('b') not in ('x',) or a", "a == 'x' or not b"),
        *("get('b') in ('x', None) or a", "get('b') == config['x'] or a", "get('b') == a or a"),
        *("(get('b') or 0) == 0 or a", "(False if b else True) or a", "f'{b}' or a"),
        *("{'x': False}.get(get('b'), True) or a", "get('b') < 5 or a"),
        # A test of several columns needs all of them.
        *("not (get('b') or get('a'))", "not is_true(get('a') or get('b'))"),
        *("False if get('b') or get('a') else True", "(get('b') or get('a')) is None"),
        *("is_true(get('b') or get('a')) == False", "get('b') and get('a')", "get('a') == b"),
        *("get('a') if get('b') else None", "[x for x in a if x != get('b')]", "f'{a}-{b}'"),
        *("coalesce(get('b'), get('a')) + get('b')", "coalesce(get('b') + a, get('b'))"),
    ),
    "b c": ("coalesce(get('b') + get('a'), get('c'))", "get('b') or get('c')"),
}


@pytest.mark.parametrize(
    ("expression", "paths"),
    [(one, paths) for paths, group in PROTECTING.items() for one in group],
    ids=said,
)
def test_an_expression_that_protects_needs_its_columns_or_a_constant(
    expression: str, paths: str
) -> None:
    """Without a column, a filter must not let pass what it is to keep back."""
    assert absent(expression, ("a",), protects=True) == paths.split()


CLOSED = (
    *("get('a')", "a", "lower(a) == 'x'", "is_true(get('a'))", "get('a') is False", "'x' and a"),
    *("get('a') in ('x', '')", "{'x': 1}.get(get('a'))", "{'x': 1}.get(a, 0)", "bool(a)"),
    *("lower(a) in ('', 'x')", "is_true(a) == True", "(get('a') or get('b')) == 'x'", "0 or a"),
)
OPEN = (
    *("not get('a')", "get('a') is None", "get('a') != 'x'", "(a or False) is False", "a > 0"),
    *(
        "{'x': 0}.get(a, 1)",
        "a not in 'xy'",
        "1 if a else 2",
        "get('a') in ('x', None)",
        "'x' in a",
    ),
    *("get('a') in 'xy'", "f'{a}'", "str(get('a')) == 'None'", "1 - int(get('a') or 0)"),
    *("1 - is_true(a)", "int(is_true(a)) ^ 1", "[True, False][int(is_true(a))]", "not_a or 1"),
    *("{False: 'yes', True: 'no'}[is_true(a)]", "{None: 'yes'}.get(a)", "is_true(a) == False"),
    *("{'None': 'yes'}.get(str(a))", "str(a).replace('None', 'yes')", "{**b}.get(a)", "str(a)"),
)


@pytest.mark.parametrize(
    ("expression", "is_closed"),
    [*((one, True) for one in CLOSED), *((one, False) for one in OPEN)],
    ids=name_of,
)
def test_only_certain_forms_fail_closed(expression: str, is_closed: bool) -> None:
    """Without its columns, such an expression is not true."""
    assert Compiler({}).compile("x", expression).reading.fails_closed == is_closed


@pytest.mark.parametrize("name", [*FUNCTIONS])
def test_a_column_with_the_name_of_a_helper(name: str) -> None:
    """The bare name is the column, as before there were helpers; a call is the helper."""
    definition = {"email": name, "id": f"[{name} for t in 'x'][0]", "total": "lower(strip(' A'))"}
    mapped = {name: "mine", "email": "mine", "id": "mine", "total": "a"}
    assert made_of(definition, {name: "mine"}) == mapped
    assert isinstance(made_of({"email": f"f'{{{name}}}'"}, {}), MappingFailed)


@pytest.mark.parametrize(
    "expression",
    [
        *("get.__globals__", "get.__closure__", "coalesce.__globals__", "minor_units.__code__"),
        *("coalesce(get).__globals__", "lower(get).__closure__", "[f.__globals__ for f in [get]]"),
        *("coalesce(json.codecs)", "get('__class__').mro", "get('customer.__class__.__mro__').x"),
        *("walk", "re", "Decimal(1)"),
        # The way to an import, past the name of it.
        *("__import__", "__import__('os')", "__builtins__", "__builtins__['__import__']"),
        *("builtins", "_['__builtins__']", "get('__builtins__.__import__').x", "config.__class__"),
        *("[__import__ for t in 'x']", "f'{__import__}'", "(lambda: __import__)()"),
        *("getattr(str, '__class__')", "globals()", "_walk.__globals__"),
        *("_attribute(str, '__class__')", "_Add.__globals__", "_f_lower.__globals__", "_v_config"),
        *("_e_0", "str.__subclasses__()", "str.mro()", "email.encode.__self__"),
        *("datetime.datetime.strptime.__self__", "datetime.datetime(2026, 1, 2).strftime.__self__"),
        *("datetime.sys.modules", "datetime.datetime_CAPI.__class__", "json.codecs.builtins"),
        *("json.decoder.scanner", "json.loads.__globals__"),
        *("json.JSONDecoder().scan_once.__self__", "json.JSONDecoder.decode.__globals__"),
        *("json.dumps(0, default=0).__class__", "(t for t in 'x').gi_frame"),
        *("(t for t in 'x').gi_frame.f_builtins", "'{0.__class__}'.format(0)"),
        "'{x.__class__}'.format_map({'x': 0})",
    ],
)
def test_nothing_unsafe_is_reachable(expression: str) -> None:
    """Helpers open no door that the evaluator keeps shut."""
    with contextlib.suppress(StreamMappingError):
        made = made_of({"email": expression}, {"id": 1, "customer": {"email": "x"}})
        assert isinstance(made, MappingFailed), made


WRONG = {"total": "total * 2", "email": "email.strip()", "id": "tags"}
CALLS = [("get('id', key=1)", "TypeError"), ("get()", "TypeError"), ("get(id)", "AttributeError")]


@pytest.mark.parametrize(
    ("definition", "record", "column", "kind"),
    [
        # Calls that the function `get` does not accept, compiled or not.
        *(({"email": call}, {"id": 1}, "email", kind) for call, kind in CALLS),
        *(({"email": f"[{x} for t in 'x'][0]"}, {"id": 1}, "email", kind) for x, kind in CALLS),
        (WRONG, {"total": 1, "email": 5, "id": "secret"}, "email", "AttributeDoesNotExist"),
        (WRONG, {"total": 1, "email": "a", "id": "secret"}, "id", "KeyError"),
        ({"__filter__": "int(email) > 1"}, {"email": "secret"}, "__filter__", "ValueError"),
    ],
    ids=name_of,
)
def test_what_fails_is_named(
    definition: dict[str, Any], record: dict[str, Any], column: str, kind: str
) -> None:
    """The failing column is named, with the kind of the failure, and nothing of the record."""
    assert made_of(definition, record) == MappingFailed(column, kind, None)
