"""Compiled stream maps against the SDK's evaluator: the same results, and the same refusals."""

from __future__ import annotations

import copy
import itertools
import types
from decimal import Decimal

import pytest
from expressions_support import RECORDS, SCHEMA, outcome, theirs

from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping.converter import MappingFailedError
from target_liveintent.mapping.expressions import compile_row
from target_liveintent.mapping.functions import FUNCTIONS
from target_liveintent.singer.stream_maps import StreamMaps

ATOMS = [
    *(
        "id",
        "total",
        "email",
        "customer",
        "tags",
        "is_test",
        "self",
        "int",
        "nobody",
        "_",
        "record",
    ),
    *("record", "'web'", "1", "1.5", "None", "True", "config", "config['shop']", "config.shop"),
    *("__stream_name__", "__original_stream_name__", "customer['email']", "customer.email"),
    *("_.get('total')", "_.get('nobody', 5)", "_['a b']", "record['id']", "record.get('email')"),
    *("tags[0]", "tags[-1]", "tags[0:1]", "tags[::2]", "email[:3]", "[id, total]", "(id, 'a')"),
    *(
        "{'a': id}",
        "{'a': 1, **customer}",
        "[*tags]",
        "{1, 2}",
        "-total",
        "not email",
        "+id",
        "~id",
    ),
    *("str(id)", "float(total)", "int(total)", "bool(email)", "md5(str(id))", "sha256('a')"),
    *("str(total).strip()", "email.strip().lower()", "(email or '').upper()", "email.upper"),
    *("json.dumps(customer)", "json.loads('[1]')", "datetime.datetime(2026, 1, 1).isoformat()"),
    *("datetime.date(2026, 1, 2)", "datetime.timedelta(days=1)", "datetime.datetime"),
    *("list(tags)", "dict(a=id)", "set(tags)", "tuple(tags)", "str", "int('7')", "int(x='7')"),
    *("f'{id}-{total}'", "f'{id:>5}'", "[t for t in tags]", "{t: 1 for t in tags}", "lambda: 1"),
    *("'a'.format(1)", "'{}'.format(id)", "email.__class__", "email._x", "().__class__", "id.real"),
    *("eval('1')", "open('x')", "nobody()", "id()", "(id)()", "str(*tags)", "dict(**customer)"),
    *("'a' * 200000", "'a' * 3", "10 ** 3", "10 ** 5000000", "1 << 3", "1 << 99999", "7 >> 1"),
    *("7 // 2", "7 % 2", "7 / 0", "'%s' % id", "1 @ 2", "5 & 3", "5 | 3", "5 ^ 3", "'a' + 'b'"),
    *("id if is_test else total", "email and email.strip()", "email or customer or 'none'"),
    *("float(total) if [t for t in tags] else str(id)", "not [t for t in tags or str(id)]"),
    *("id == 7", "id != 7", "0 <= id < 10", "'vip' in tags", "'vip' not in tags", "email is None"),
    *("email is not None", "1 < 2 < 3 < 0", "((_.get('customer') or {}).get('orders') or [0])[0]"),
    *("datetime.__doc__", "json.codecs", "json.decoder", "datetime.sys", "...", "b'x'", "1j"),
    *("customer.get('email')", "customer.nobody", "customer.orders[1]", "customer['orders'][::-1]"),
    *("pass", "del id", "import os", "raise id"),  # No expressions at all.
    # Methods whose C code imports a module.
    *(
        "datetime.datetime.strptime('2/3/26 17:05', '%d/%m/%y %H:%M').isoformat()",
        "datetime.datetime.strptime(email, '%Y')",
        "datetime.datetime(2026, 1, 2, 3, 4).strftime('%A %d %B %Y %H:%M')",
        "datetime.date(2026, 1, 2).strftime('%j')",
        "datetime.time(3, 4).strftime('%H.%M')",
        "datetime.datetime(2026, 1, 2).timetuple().tm_yday",
        "datetime.datetime(2026, 1, 2).utctimetuple()",
        "datetime.date(2026, 1, 2).timetuple()[7]",
        "datetime.date(2026, 1, 2).isocalendar().week",
        "datetime.datetime(2026, 1, 2).isocalendar()[1]",
        "datetime.date(2026, 1, 2).ctime()",
    ),
    # Whether constants are one object depends on who compiles them.
    *("1000 is 1000", "1.5 is 1.5", "(1, 2) is (1, 2)", "'a b' is not 'a b'", "() is ()"),
    *("None is None", "is_test is False", "... is ...", "email is None is False", "1 is True"),
    *("[1000 is 1000 for t in 'x']", "total is 1.5 or id", "b'a b' is b'a b'", "-1.5 is -1.5"),
    # The helper functions, where a column may have the name of one.
    *(
        "get('id')",
        "get('customer.email')",
        "get('customer.name.first')",
        "get('customer.orders.1')",
    ),
    *("get('customer.orders.-1')", "get('customer.orders.9')", "get('customer.orders.x')"),
    *("get('items.0.sku')", "get('items.1.sku')", "get('items.0.prices.-2')", "get('nobody.a')"),
    *("get('')", "get('.')", "get('a b')", "get('id.0')", "get('email.0')", "get('get')", "get"),
    *("get('customer.' + 'email')", "get(config['shop'])", "get(email)", "get(id)", "get()"),
    *(
        "get(path='id')",
        "get('id', 1)",
        "get('id', key=1)",
        "get(*tags)",
        "[get('id') for t in tags]",
        "f\"{get('id')}\"",
    ),
    *("{'a': get}.a('customer.email')", "{'a': coalesce}.a(None, 1)", "get.__globals__", "get.x"),
    *("coalesce(email, customer.email)", "coalesce(get('email'), get('customer.email'), id)"),
    *(
        "coalesce()",
        "coalesce(None, '', '  ', 0)",
        "coalesce(is_test)",
        "[coalesce(t) for t in tags]",
    ),
    *(
        "minor_units(id, 'usd')",
        "minor_units(total, email)",
        "minor_units(get('id'), get('email'))",
        "amount(total)",
        "amount(get('email'), decimal='.')",
        "amount(total, ';')",
        "[amount(t) for t in tags]",
    ),
    *("minor_units(id)", "minor_units(1250, 'JPY') + 1", "[minor_units(1250, c) for c in ['eur']]"),
    *("lower(email)", "strip(email)", "lower(strip(get('email')))", "lower(id)", "strip(customer)"),
    *("lower", "lower.b", "strip", "strip(lower)", "str(lower)[:2]", "coalesce.__code__"),
    *("getter(record)", "walk(record, ['id'])", "_walk(record, ['id'])", "_getter(record)('id')"),
]
OPERATORS = ["+", "-", "*", "%", "and", "or", "==", "<", "in", "is"]
PAIRS = ["id", "total", "email", "'a'", "2", "tags", "customer", "None"]
EXPRESSIONS = ATOMS + [
    f"{left} {operator} {right}"
    for left, operator, right in itertools.product(PAIRS, OPERATORS, PAIRS)
]


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("others", [{}, {"__else__": "__NULL__"}], ids=["others pass", "else null"])
@pytest.mark.parametrize("as_filter", [False, True], ids=["column", "filter"])
def test_the_same_as_the_evaluator(others: dict[str, str], as_filter: bool) -> None:
    """Every expression gives for every record what the SDK gives, or fails where it fails."""
    differences = []
    for expression in EXPRESSIONS:
        definition = {"__filter__": expression} if as_filter else {"total": expression}
        definition = {**definition, "id": "id or 5", **others}
        config = {"shop": "berlin"}
        maps = StreamMaps({"orders": {**definition, "__alias__": "'gifts'"}}, config)
        (ours,) = maps.plans("orders", copy.deepcopy(SCHEMA))
        sdk = theirs(definition)
        for record in RECORDS:
            wanted, made = outcome(sdk.transform, record), outcome(ours.transform, record)
            if wanted != made:
                differences.append((expression, record, wanted, made))
    assert differences == []


def test_most_is_compiled() -> None:
    """What users write is compiled; the evaluator is for what is rare."""
    maps = StreamMaps(
        {"orders": {"total": "float(total) * 2", "email": "(email or '').lower()"}}, {}
    )
    (plan,) = maps.plans("orders", copy.deepcopy(SCHEMA))
    assert plan.reads is not None
    assert plan.reads >= {"total", "email"}


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("total", {"total"}),
        ("_.get('total')", {"total"}),
        ("record['total'] or _['id']", {"total", "id"}),
        ("customer.email", {"customer"}),
        ("'web'", set()),
        ("self", {"email", "self"}),
        ("int(total)", {"total"}),
        ("str(_)", None),
        ("record", None),
        ("_.items()", None),
        ("[t for t in tags]", None),
        ("get('customer.email')", {"customer"}),
        ("get('tags.0.sku')", {"tags"}),
        ("coalesce(get('email'), get('customer.email'), total)", {"email", "customer", "total"}),
        ("minor_units(total, lower(get('a b')))", {"total", "a b"}),
        ("lower", {"lower"}),
        ("amount", {"amount"}),
        ("amount(total, decimal='.')", {"total"}),
        ("lower(strip)", {"strip"}),
        ("get(email)", None),
        ("get", None),
        ("[get('id') for t in tags]", None),
    ],
)
def test_which_columns_are_read(expression: str, reads: set[str] | None) -> None:
    """The columns that an expression reads are decoded; if that is not known, all columns are."""
    maps = StreamMaps({"orders": {"email": expression, "__else__": "__NULL__"}}, {})
    (plan,) = maps.plans("orders", copy.deepcopy(SCHEMA))
    assert plan.reads == (None if reads is None else frozenset(reads))


def test_a_path_is_walked_without_the_other_columns() -> None:
    """What `reads` promises is enough: of a record with these columns alone comes the same."""
    definition = {
        "email": "coalesce(get('customer.email'), get('tags.0'))",
        "total": "minor_units(get('total'), get('customer.currency'))",
        "__else__": "__NULL__",
    }
    (ours,) = StreamMaps({"orders": definition}, {}).plans("orders", copy.deepcopy(SCHEMA))
    assert ours.reads == {"customer", "tags", "total"}
    record = {"id": 7, "tags": ["x"], "total": 1250, "customer": {"currency": "kwd"}, "email": "y"}
    assert ours.transform is not None
    wanted = {"email": "x", "total": Decimal("1.250")}
    assert ours.transform(record) == wanted
    assert ours.transform({name: record[name] for name in ours.reads}) == wanted


@pytest.mark.parametrize("name", [function.name for function in FUNCTIONS])
def test_a_column_with_the_name_of_a_helper(name: str) -> None:
    """The bare name is the column, as before there were helpers; a call is the helper."""
    definition = {"email": name, "id": f"[{name} for t in 'x'][0]", "total": "lower(strip(' A'))"}
    schema = {"type": "object", "properties": {name: {}}}
    (ours,) = StreamMaps({"orders": definition}, {}).plans("orders", schema)
    assert ours.transform is not None
    mapped = ours.transform({name: "mine"})
    assert mapped == {name: "mine", "email": "mine", "id": "mine", "total": "a"}


@pytest.mark.parametrize(
    "expression",
    [
        "get.__globals__",
        "get.__closure__",
        "coalesce.__globals__",
        "minor_units.__code__",
        "coalesce(get).__globals__",
        "lower(get).__closure__",
        "[f.__globals__ for f in [get]]",
        "coalesce(json.codecs)",
        "get('__class__').mro",
        "get('customer.__class__.__mro__').x",
        "walk",
        "re",
        "Decimal(1)",
        # The way to an import, past the name of it.
        "__import__",
        "__import__('os')",
        "__builtins__",
        "__builtins__['__import__']",
        "builtins",
        "_['__builtins__']",
        "get('__builtins__.__import__').x",
        "config.__class__",
        "[__import__ for t in 'x']",
        "f'{__import__}'",
        "(lambda: __import__)()",
        "getattr(str, '__class__')",
        "globals()",
        "_walk.__globals__",
        "_attribute(str, '__class__')",
        "_Add.__globals__",
        "_f_lower.__globals__",
        "_v_config",
        "_e_0",
        "str.__subclasses__()",
        "str.mro()",
        "email.encode.__self__",
        "datetime.datetime.strptime.__self__",
        "datetime.datetime(2026, 1, 2).strftime.__self__",
        "datetime.sys.modules",
        "datetime.datetime_CAPI.__class__",
        "json.codecs.builtins",
        "json.decoder.scanner",
        "json.loads.__globals__",
        "json.JSONDecoder().scan_once.__self__",
        "json.JSONDecoder.decode.__globals__",
        "json.dumps(0, default=0).__class__",
        "(t for t in 'x').gi_frame",
        "(t for t in 'x').gi_frame.f_builtins",
        "'{0.__class__}'.format(0)",
        "'{x.__class__}'.format_map({'x': 0})",
    ],
)
def test_nothing_unsafe_is_reachable(expression: str) -> None:
    """Helpers open no door that the evaluator keeps shut."""
    (ours,) = StreamMaps({"orders": {"email": expression}}, {}).plans("orders", SCHEMA)
    assert ours.transform is not None
    with pytest.raises((MappingFailedError, StreamMappingError)):
        ours.transform({"id": 1, "customer": {"email": "x"}})


def test_no_name_of_a_compiled_map_is_a_builtin() -> None:
    """Even code that no check looked at would find no builtin: only C code finds the import."""
    run = compile_row([], {}, {}).run
    assert isinstance(run, types.FunctionType)
    run.__code__ = (lambda record: __import__("os")).__code__
    with pytest.raises(NameError):
        run({})


@pytest.mark.parametrize("call", ["get('id', key=1)", "get('id', 1)", "get()", "get(id)"])
def test_a_wrong_call_of_get_is_rejected(call: str) -> None:
    """A call that the function `get` does not accept rejects the record, compiled or not."""
    for expression in (call, f"[{call} for t in 'x'][0]"):
        (ours,) = StreamMaps({"orders": {"email": expression}}, {}).plans("orders", SCHEMA)
        assert ours.transform is not None
        with pytest.raises(MappingFailedError) as failure:
            ours.transform({"id": 1})
        assert failure.value.column == "email"
        assert failure.value.kind in {"TypeError", "AttributeError"}


def test_failures_are_named_again_and_again() -> None:
    """Looking for what fails leaves the expressions as they were."""
    definition = {"total": "float(total) if id < 5 else [float(t) for t in tags]"}
    (ours,) = StreamMaps({"orders": definition}, {}).plans("orders", copy.deepcopy(SCHEMA))
    assert ours.transform is not None
    for _ in range(3):
        with pytest.raises(MappingFailedError) as failure:
            ours.transform({"total": "x", "id": 1, "tags": []})
        assert (failure.value.column, failure.value.kind) == ("total", "ValueError")
        assert ours.transform({"total": "x", "id": 9, "tags": ["1"]}) is not None


def test_what_fails_is_named() -> None:
    """The failing column is named, with the kind of the failure, and nothing of the record."""
    definition = {"total": "total * 2", "email": "email.strip()", "id": "tags"}
    (ours,) = StreamMaps({"orders": definition}, {}).plans("orders", copy.deepcopy(SCHEMA))
    assert ours.transform is not None
    with pytest.raises(MappingFailedError) as failure:
        ours.transform({"total": 1, "email": 5, "id": "secret"})
    assert (failure.value.column, failure.value.kind) == ("email", "AttributeDoesNotExist")
    with pytest.raises(MappingFailedError) as failure:
        ours.transform({"total": 1, "email": "a", "id": "secret"})
    assert (failure.value.column, failure.value.kind) == ("id", "NameNotDefined")
