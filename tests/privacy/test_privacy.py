"""No raw address and no token surfaces, whatever goes wrong: output and every file are searched."""

import base64
import contextlib
import json
import os
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import STORE, batch, lines, order, orders, schema, state, wait_until
from privacy_support import ADDRESS, COLUMNS, SECRET, TOKEN, Watched, hostile, hostile_schema, leaks
from store_tables import ask, count
from unit_support import databases_closed

from target_liveintent import cli
from target_liveintent.config import settings_of
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.batch import Batch, BatchResult
from target_liveintent.delivery.client import AuthToken, Client
from target_liveintent.privacy.identity import hashes_of, identify
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.singer.reader import decode_message
from target_liveintent.store.dead_letters import letter_of
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.opening import open_store
from target_liveintent.target import TargetLiveIntent

QUOTED = urllib.parse.quote(ADDRESS)


def test_the_search_finds_what_it_looks_for() -> None:
    """In any case and any encoding in which a log or a file could show it."""
    for text in (
        ADDRESS,
        ADDRESS.upper(),
        QUOTED,
        urllib.parse.quote(QUOTED),
        json.dumps({"a": ADDRESS}).replace("@", "\\u0040").replace(".", "\\u002e"),
        ADDRESS.replace("@", "&#64;").replace(".", "&#46;"),
        "Wm9lLlE5eDcrVGFnQExlYWt5LVNob3AuRXhhbXBsZQ==",
        TOKEN,
        urllib.parse.quote(TOKEN),
    ):
        assert leaks(f"x {text} y"), text
    assert leaks("nothing of the kind") == []


# What a tap sends

WRONG: dict[str, dict[str, Any]] = {
    "good": {},
    "no-time": {"event_time": None},
    "address-as-time": {"event_time": ADDRESS},
    "bad-time": {"event_time": [ADDRESS]},
    "date-as-address": {"email": "2026-13-45T99:00:00Z", "md5": ..., "sha2": ...},
    "number-as-address": {"email": 5, "md5": [ADDRESS], "sha2": {ADDRESS: 1}},
    "too-old": {"event_time": "2019-01-01"},
    "source": {"source": ADDRESS},
    "pixel": {"pixel_id": ADDRESS},
    "nobody": {"email": f"<{ADDRESS}", "md5": None, "sha2": f"{ADDRESS}; x", "source_url": None},
    "no-key": {"id": ..., "event_id": None},
    "key": {"event_id": None},
    "key-object": {"event_id": None, "id": {ADDRESS: [ADDRESS]}},
    "id-object": {"event_id": {ADDRESS: ADDRESS}},
    "surrogate": {"event_id": f"\ud800{ADDRESS}", "order_id": f"{ADDRESS}\udfff"},
    "nested": {"userData": {"email": ADDRESS, "md5": ADDRESS}, "purchaseData": [ADDRESS]},
}


def wrong_values() -> list[dict[str, Any]]:
    """Return a record of each kind, with an event ID of its own where its kind says nothing."""
    return [
        hostile(n, **({"event_id": f"{n} {ADDRESS}"} | columns))
        for n, columns in enumerate(WRONG.values())
    ]


TYPED = hostile_schema(
    event_time={"type": ["integer", "null"]},
    email={"type": "string", "format": "date-time"},
    note={"maxLength": 3},
    value={"enum": [1]},
)


@pytest.mark.promise("No e-mail address leaves the module that hashes it")
@pytest.mark.parametrize(
    "mode", [{"dry_run": True}, {"validate_records": True}, {"on_rejection": "fail"}], ids=str
)
def test_wrong_values_show_no_address(target: Watched, mode: dict[str, Any]) -> None:
    """Every reason of a rejection, with the address in every column, or the one that ends a run.

    (Of a usual run, see below.)
    """
    run = target.run(TYPED, *wrong_values(), state(1), **mode)
    target.assert_private(run)
    assert "this is a bug" not in run.log
    assert run.summary["total"].adds_up


MAPS: dict[str, dict[str, Any]] = {
    "value": {"value": "float(email)"},
    "key": {"value": "_['nope-' + email]"},
    "date": {"event_time": "datetime.datetime.fromisoformat(email)"},
    "json": {"value": "json.loads(email)"},
    "filter": {"__filter__": "email > 5"},
    "id": {"event_id": "email + 5"},
    "config": {"value": "config['token'] + 5"},
    "into-id": {"event_id": "email + '-' + str(_['note'])"},
    "into-everything": {
        "order_id": "email",
        "currency": "str([email])",
        "app_bundle": "repr(email)",
    },
}


def test_an_expression_that_fails_shows_its_column_and_no_value(target: Watched) -> None:
    common = {"__source__": "orders", "event_time": "event_time", "email": "email"}
    maps = {name: {**common, **columns} for name, columns in MAPS.items()}
    secrets = {"stream_map_config": {"token": TOKEN}}
    run = target.run(hostile_schema(), hostile(1), state(1), stream_maps=maps, **secrets)
    target.assert_private(run)
    assert (run.code, run.states) == (0, [1])
    assert run.summary["total"].reasons["mapping_failed"] >= 6


ODD: dict[str, list[Any]] = {
    # Streams and columns may be named after people, by whoever pivots a mailbox.
    "stream": [schema(ADDRESS), order(1, ADDRESS), order(2, ADDRESS, event_time=None)],
    "stream-never": [schema(ADDRESS, ("id",))],
    "stream-unknown": [order(1, ADDRESS)],
    "column": [schema("orders", ("id", ADDRESS))],
    "key": [schema(keys=(ADDRESS,)), order(1), order(2, event_time=None)],
    # What is no message of a tap; `tests/fuzz/test_hostile_input.py` has more of them.
    "torn": [f'{{"type": "RECORD", "stream": "orders", "record": {{"email": "{ADDRESS}"'],
    "type": [{"type": ADDRESS}],
    "schema-junk": [{"type": "SCHEMA", "stream": ADDRESS, "schema": {}}],
    "schema-type": [schema("orders", ("id",), email={"type": ADDRESS})],
    "batch-format": [schema(), batch("file:///x", form=ADDRESS)],
}


@pytest.mark.parametrize("messages", ODD.values(), ids=ODD)
def test_odd_messages_show_no_address(target: Watched, messages: list[Any]) -> None:
    run = target.run(*messages, state(1), validate_records=True)
    target.assert_private(run)
    assert "this is a bug" not in run.log


# What the API answers

ECHO = f"{ADDRESS} {QUOTED} Bearer {TOKEN}"
ESCAPED = json.dumps(ECHO).replace("@", "\\u0040").replace("/", "\\/").replace("+", "\\u002b")
BODIES: list[bytes] = [
    ECHO.encode(),
    json.dumps({"errors": [{"message": ECHO, "errorCode": ECHO}]}).encode(),
    f'{{"errors": [{{"message": {ESCAPED}}}]}}'.encode(),
    json.dumps({"error": {"detail": [ECHO]}}).encode(),
    f'{{"error": {{"detail": {ESCAPED}}}}}'.encode(),
    f"<p>{ECHO.replace('@', '&#64;').replace('+', '&#43;')}</p>".encode(),
    json.dumps([ECHO]).encode(),
    ECHO.replace(" ", "\n\t").encode(),
    b"\xff" + ECHO.encode() + b"\x80",
    b"x" * 480 + ECHO.encode() * 2000,
    f"{ADDRESS.upper()} {QUOTED.upper()}".encode(),
    urllib.parse.quote(TOKEN, safe="").encode(),
    base64.b64encode(f"Bearer {TOKEN}".encode()),
]
HEADERS: dict[str, str] = {
    "X-Echo": ECHO,
    "Location": f"https://{QUOTED}/{TOKEN}",
    "Retry-After": ECHO,
    "WWW-Authenticate": f'Bearer realm="{ECHO}"',
    "Set-Cookie": f"token={TOKEN}; Comment={ADDRESS}",
    "Content-Type": f"text/plain; charset={ECHO}",
    "Link": f"<https://{QUOTED}>",
}


@pytest.mark.promise("No e-mail address leaves the module that hashes it")
@pytest.mark.parametrize("status", [400, 200])
def test_an_answer_that_echoes_the_request_shows_no_secret(
    target: Watched, server: FaultyServer, status: int
) -> None:
    """What was sent, or who sent it, in the body of a refusal."""

    def answer(request: Request) -> Reply:
        found = [BODIES[int(name[4:])] for name in request.ids if name.startswith("bad-")]
        return Reply(status, found[0], HEADERS) if found else Reply(204, headers=HEADERS)

    server.answer = answer
    bad = [hostile(n, event_id=f"bad-{n}") for n in range(len(BODIES))]
    run = target.run(hostile_schema(), *bad, *orders(100, consent=1), state(1), batch_size_rows=1)
    target.assert_private(run)
    assert (run.code, run.states) == (0, [1])
    assert len(run.letters) == len(BODIES)


# Faults of our own

BUG = """
import importlib, os
place = os.environ["PLANTED_BUG"]
module, _, path = place.partition(":")
owner = importlib.import_module(module)
*outer, name = path.split(".")
for one in outer:
    owner = getattr(owner, one)

def broken(*args, **kwargs):
    shown = [getattr(a, "__dict__", a) for a in args]
    error = RuntimeError(f"planted with {args!r} {shown!r} {kwargs!r}", *args)
    if hasattr(error, "add_note"):
        error.add_note(os.environ["PLANTED_TEXT"])
    raise error from ValueError(os.environ["PLANTED_TEXT"])

setattr(owner, name, broken)
"""


def plant(target: Watched, code: str) -> None:
    """Let targets run this code first; it finds the secrets in the environment."""
    folder = target.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    (folder / "sitecustomize.py").chmod(0o600)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    target.env |= {
        "PLANTED_TEXT": f"{ADDRESS} {TOKEN}",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    target.forked = False


@pytest.mark.parametrize(
    "place",
    [
        "conversions.builder:identify",
        "delivery.client:Client.post",
        pytest.param("store.run_store:letter_of", marks=pytest.mark.slow),
    ],
)
def test_a_bug_is_shown_by_its_place_and_not_by_its_text(target: Watched, place: str) -> None:
    plant(target, BUG)
    target.env["PLANTED_BUG"] = f"target_liveintent.{place}"
    maps = {"orders": {"event_time": "event_time", "email": "str(email)", "event_id": "'x'"}}
    messages = (hostile_schema(), hostile(1), hostile(2, event_time=None), state(1))
    run = target.run(*messages, stream_maps=maps)
    target.assert_private(run)
    assert (run.code, run.stdout) == (1, "")
    assert "unexpected" in run.last_line
    assert "planted with" not in run.log


# The log, as the user configures it

LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "own": {"format": "%(levelname)s %(name)s %(threadName)s %(pathname)s %(message)s"},
        "json": {"()": "singer_sdk.logging.StructuredFormatter"},
    },
    "handlers": {
        name: {"class": "logging.FileHandler", "filename": f"{name}.log", "formatter": name}
        for name in ("own", "json")
    },
    "loggers": {"alone": {"level": "DEBUG", "handlers": ["own", "json"], "propagate": False}},
    "root": {"level": "DEBUG", "handlers": ["own", "json"]},
}
LOGS = """
import logging, os, sys, threading, warnings
secret = os.environ["PLANTED_TEXT"]

class Broken:
    def __del__(self):
        raise ValueError(secret)

def fail():
    raise ValueError(secret)

def log(*given):
    alone = logging.getLogger("alone")
    alone.debug("planted %s", secret, extra={"who": secret, "stream_name": [secret]})
    alone.getChild(secret).info("planted %s %s", secret)
    try:
        fail()
    except ValueError:
        alone.exception("planted", stack_info=True)
    late = logging.getLogger("late")
    late.propagate = False
    late.addHandler(logging.FileHandler("late.log"))
    late.warning("planted %s", secret)
    late.handlers.clear()
    late.warning("planted %s", secret)  # The last resort writes it.
    warnings.simplefilter("always")
    warnings.warn("planted " + secret)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Broken()
    return settings_of(*given)

from target_liveintent import config
settings_of, config.settings_of = config.settings_of, log
"""


def test_no_handler_of_a_logger_gets_a_secret(target: Watched) -> None:
    plant(target, LOGS)
    target.env |= {
        "SINGER_SDK_LOG_CONFIG": str(target.write("log.yml", json.dumps(LOG).encode())),
        "TARGET_LIVEINTENT_AUTH_TOKEN": TOKEN,
    }
    before = os.umask(0o077)
    try:
        run = target.run(hostile_schema(), hostile(1), schema(ADDRESS), state(1))
    finally:
        os.umask(before)
    target.assert_private(run)
    assert run.code == 0, (target.folder / "own.log").read_text()
    assert run.log.count("planted ") == 1
    own, structured, late = (
        (target.folder / f"{name}.log").read_text() for name in ("own", "json", "late")
    )
    assert late.count("planted ") == 1
    for text in (own, structured):
        for said in ("planted", "Traceback", "UserWarning", "was not handled", "in __del__"):
            assert said in text
        assert len([line for line in text.splitlines() if "do not fit" in line]) == 1
    assert all(json.loads(line) for line in structured.splitlines())


# People who must not be sent


@pytest.mark.promise("You can exclude people")
def test_suppressed_people_are_in_no_file(target: Watched) -> None:
    """Neither the list nor whoever is on it is written anywhere."""
    people = target.write("people.txt", f"{ADDRESS}\n".encode())
    run = target.run(hostile_schema(), hostile(1), state(1), suppression_path=str(people))
    target.assert_private(run)
    assert run.summary["total"].drops == {"suppressed": 1}
    assert run.letters == []


# The files


def test_each_file_of_a_run_is_its_owners_alone(target: Watched) -> None:
    """Whatever the umask, every file that a run makes is its owner's alone, while it runs too."""
    before = os.umask(0)
    try:
        run = target.start(batch_size_rows=1)
        run.send(hostile_schema(), hostile(1), hostile(2, event_time=None), state(1))
        wait_until(lambda: run.states, "STATE")
    finally:
        os.umask(before)
    assert {path.name for path in target.made()} >= {STORE, f"{STORE}-shm", f"{STORE}-wal"}
    assert (target.folder / f"{STORE}-wal").stat().st_size > 0
    target.assert_private(run)
    run.close_input().wait()
    target.assert_private(run)
    assert run.code == 0


# The commands and the database

TRACED = (ADDRESS, QUOTED, ADDRESS.upper(), f"mailto:{ADDRESS}", f"1 <{ADDRESS}>", f"0 {ADDRESS}")
"""IDs that are, or contain, an address."""
COMMANDS: list[tuple[str, ...]] = [
    *(("dead-letters", f"--format={style}") for style in ("text", "json", "singer")),
    ("replay", "--dry-run"),
    ("replay",),
    ("replay", "--unconfirmed", "--other-accounts"),
    ("replay", "edited.singer"),
    *(("delivered", f"--format={style}") for style in ("csv", "singer")),
    ("report", "page.html"),
    *(("report", f"--format={style}") for style in ("text", "json")),
    ("health",),
    *(("explain", "tap.singer", f"--format={style}") for style in ("text", "json")),
    ("explain", "tap.singer", "--expect=expected.json"),
    *(
        ("trace", *TRACED, *source, f"--format={style}")
        for style in ("text", "json")
        for source in ((), ("--input=tap.singer",))
    ),
    ("dead-letters", "--delete=invalid_event_time"),
    ("forget",),
    ("preset", "shopify"),
]
CODES = {"health": {0, 3}, "explain": {0, 1}, "trace": {0, 1}}
"""The exit codes of commands that end in several ways."""


def edited_letters() -> list[dict[str, Any]]:
    """Return dead letters into which somebody has written addresses again."""
    columns = [*COLUMNS, "stream", "reason", "field", "detail", "time", "run_id", "note"]
    record = dict.fromkeys(columns, ADDRESS)
    account = {"customer_id": ADDRESS, "api_host": ADDRESS, "pixel_id": ADDRESS, ADDRESS: ADDRESS}
    changes: list[dict[str, Any]] = [
        {},
        {"event_time": order(1)["record"]["event_time"], "pixel_id": 1, "source": "web"},
        {"written_for": account},
        {"written_for": ADDRESS, "keys": {ADDRESS: ADDRESS}, "scrubbed": {ADDRESS: ADDRESS}},
    ]
    name = "liveintent_dead_letters"
    records = [record | {"event_id": f"{n} {ADDRESS}"} | one for n, one in enumerate(changes)]
    return [{"type": "RECORD", "stream": name, "record": one} for one in records]


@pytest.mark.promise("No e-mail address leaves the module that hashes it")
def test_no_command_shows_a_secret_or_leaves_one_behind(
    target: Watched, server: FaultyServer, store: Path | str
) -> None:
    """No command shows what nobody may see, nor is it in a file or a table after the command."""

    def answer(request: Request) -> Reply:
        return Reply(200, ECHO.encode()) if "unsure" in request.ids else Reply()

    server.answer = answer
    target.write("tap.singer", lines([TYPED, hostile(1), hostile(2, event_time=None)]))
    target.write("edited.singer", lines(edited_letters()))
    messages = [*wrong_values(), hostile(99, event_id="unsure")]
    # The URL of a database has a password.
    place = str(store).replace("s3cret-of-postgres", SECRET)
    settings = {"batch_size_rows": 1, "store": place}
    run = target.run(TYPED, *messages, state(1), **settings)
    target.assert_private(run)
    assert (run.code, run.states) == (0, [1])
    assert len(run.letters) >= len(WRONG) // 2 or isinstance(store, str)
    done: tuple[str, ...] = ()
    for arguments in COMMANDS:
        run = target.start(*arguments, **settings)
        with contextlib.suppress(BrokenPipeError):  # A command that does not read it may be over.
            run.send(ADDRESS).close_input()
        run.wait()
        target.assert_private(run)
        assert run.code in CODES.get(arguments[0], {0}), run.log
        assert run.stdout or arguments[0] == "replay", arguments
        assert "this is a bug" not in run.log
        tables = rows_of(store)
        assert leaks(tables) == [], arguments
        has_hashes = any(digest in tables for digest in hashes_of(ADDRESS))
        assert has_hashes == ("forget" not in arguments + done), arguments
        done += arguments[:1]
    assert {name for name, *_ in COMMANDS} == set(cli.main.commands)
    # Events of people who are forgotten are not sent again.
    assert count(store, "event") > 0
    left = b"".join(path.read_bytes() for path in target.folder.glob(f"{STORE}*"))
    assert not any(
        digest.encode() in left for digest in hashes_of(ADDRESS)
    )  # Not even erased ones.


TABLES = ("run", "event", "reservation", "waiting", "place_count", "dead_letter", "delivered")


def rows_of(store: Path | str) -> str:
    """Return all rows of a store as text."""
    found = []
    for table in TABLES:
        found += ask(store, f"SELECT * FROM {table}")  # noqa: S608 (constants)
    assert found
    return repr(found)


# Objects


def objects(folder: Path) -> dict[str, Any]:
    """Return one of every kind of object that a debugger could show."""
    given = {"customer_id": "a-1b2c", "auth_token": TOKEN}
    settings = settings_of({**given, "pixel_id": 1, "default_source": "web"})
    database = f"postgresql://loader:{SECRET}@db.example.com/liveintent"
    record = hostile(1)["record"]
    builder = EventBuilder("orders", list(record), ["id"], settings.events)
    made = builder.build(record, record, record["event_time"] + 10.0)
    assert isinstance(made, Conversion)
    bad = {**record, "event_time": ADDRESS}
    rejected = builder.build(bad, bad, record["event_time"] + 10.0)
    assert isinstance(rejected, Rejection)
    (folder / "people.txt").write_text(f"{ADDRESS}\n")
    batch_ = Batch(1, "orders", 0.0, 0.0, [made])
    token = AuthToken(settings.auth_token, None)
    store = open_store(settings.storage, "run-1")
    claims = store.claim({0: [made]})
    store.note_rejected(rejected, 0.0)
    deduplicator = Deduplicator(settings.account)
    keys = deduplicator.keys_of([made])
    deduplicator.reserve(deduplicator.divide({0: [made]}, {0: keys}, {}, set()))
    letter = letter_of(rejected, settings.account, settings.events, "run-1", 0.0)
    store.close()
    target = TargetLiveIntent(config={**given, "dry_run": True})
    target.run.finish()
    return {
        "Settings": settings,
        "Settings with a password": settings_of({**given, "store": database}),
        "EventDefaults": settings.events,
        "Conversion": made,
        "Rejection": rejected,
        "Rejection of a map": builder.reject_unmapped("value", record, "KeyError"),
        "Batch": batch_,
        "BatchResult": BatchResult(
            batch_, [made], [0.0], [made], [made.rejected("unconfirmed", None, None)]
        ),
        "Answer": Answer(Verdict.REFUSED, "HTTP 400", 400),
        "Identity": identify([ADDRESS]),
        "EventBuilder": builder,
        "AuthToken": token,
        "Client": Client(settings.url, token, 60),
        "Target": target,
        "Run": target.run,
        "RunStore": store,
        "Database": store.database,
        "Claim": claims,
        "DeadLetter": letter,
        "Row": letter.row(1, 0.0),
        "Suppressions": Suppressions(str(folder / "people.txt")),
        "Deduplicator": deduplicator,
        "Message": decode_message(json.dumps(hostile(1)).encode()),
    }


def test_no_object_shows_a_secret_when_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with databases_closed(monkeypatch):
        for name, shown in objects(tmp_path).items():
            assert leaks(f"{shown!r} {shown!s} {[shown]}") == [], name
