"""Runs whose dead letters, delivered events, report and suppression list are in S3, by moto."""

from __future__ import annotations

import json
import re
import signal
import threading
import uuid
from typing import TYPE_CHECKING

import pytest
from integration_fixtures import LETTERS_FOLDER
from integration_support import (
    OFTEN,
    WITH_ID,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)

if TYPE_CHECKING:
    from integration_support import Launcher, Message, Running
    from object_store import Asked, Door, Store

    from target_liveintent.sandbox import Sandbox

NO_PAUSE = {"target_liveintent.storage.object_store:_FIRST_PAUSE": 0.01}


def bad(*numbers: int) -> list[Message]:
    """Return records that cannot be sent, whose event IDs are `bad-0`, `bad-1` and so on."""
    return [order(n, event_id=f"bad-{n}", event_time=None) for n in numbers]


def letters(store: Store, bucket: str) -> list[str]:
    """Return the event IDs of all dead letters, having checked that each object is Singer."""
    found = []
    for key, content in store.objects(bucket).items():
        assert re.fullmatch(
            rf"{LETTERS_FOLDER}/\d{{8}}T\d{{6}}Z-[0-9a-f-]{{36}}-\d{{5}}\.singer", key
        )
        assert content.endswith(b"\n")
        head, *records = map(json.loads, content.splitlines())
        assert head["type"] == "SCHEMA"
        assert {record["type"] for record in records} == {"RECORD"}
        found += [record["record"]["event_id"] for record in records]
    return found


def test_dead_letters(target: Launcher, store: Store, bucket: str, url: str) -> None:
    """A run puts one object, whatever STATEs there are, and nothing else."""
    run = target.run(
        schema(columns=WITH_ID),
        *numbered(3),
        *bad(1),
        state(1),
        *bad(2),
        state(2),
        dead_letter_path=url,
        env=store.environment,
    )
    assert (run.code, run.states[-1]) == (0, 2), run.log
    assert letters(store, bucket) == ["bad-1", "bad-2"]
    assert len(store.objects(bucket)) == 1
    assert not (target.folder / "s3:").exists()
    assert "made-up" not in run.log


def test_state_waits_for_the_object(
    target: Launcher, sandbox: Sandbox, store: Store, bucket: str, url: str
) -> None:
    """STATE passes no dead letter that is not in the store; SIGTERM puts it there at once."""
    given = {"dead_letter_path": url, "batch_size_rows": 1, "env": store.environment}
    run = target.start(constants=OFTEN, **given).started()
    run.send(schema(columns=WITH_ID), *numbered(1), state(1))
    wait_until(lambda: run.states == [1], "a STATE without dead letters")
    run.send(*bad(1), state(2), order(9, event_id="order-9"))
    wait_until(lambda: len(sandbox.events) == 2, "what comes after the dead letter")
    threading.Event().wait(0.2)  # several looks at what is due
    assert run.states == [1]
    assert store.objects(bucket) == {}
    run.signal(signal.SIGTERM).wait()
    assert (run.code, run.states) == (143, [1, 2])
    assert letters(store, bucket) == ["bad-1"]


@pytest.mark.parametrize("moment", ["before the object", "after the object", "after STATE"])
def test_kills(target: Launcher, store: Store, door: Door, bucket: str, moment: str) -> None:
    """Whenever a run is killed, its repetition loses no dead letter that no STATE covers."""
    run: Running

    def kill(asked: Asked, when: str) -> int | None:
        if asked.method != "PUT" or when != moment:
            return None
        run.process.kill()
        run.process.wait()
        return 503

    door.before = lambda asked: kill(asked, "before the object")
    door.after = lambda asked: kill(asked, "after the object")
    messages = [*numbered(1), *bad(1, 2), state(1), *bad(3), state(2)]
    url = f"s3://{bucket}/{LETTERS_FOLDER}"
    given = {"dead_letter_path": url, "flush_interval_seconds": 1, "env": door.environment}
    run = target.start(constants=OFTEN, **given).started()
    run.send(schema(columns=WITH_ID), *messages)
    if moment == "after STATE":
        wait_until(lambda: run.states, "a STATE")
        run.process.kill()
    wait_until(lambda: run.process.poll() is not None, "its end")
    run.wait()
    covered = run.states[-1] if run.states else 0
    assert (covered > 0) == (moment == "after STATE")
    door.before, door.after = (lambda _: None), (lambda _: None)
    rest = messages[messages.index(state(covered)) + 1 :] if covered else messages
    again = target.run(schema(columns=WITH_ID), *rest, state(2), **given)
    assert (again.code, again.states) == (0, [2]), again.log
    found = letters(store, bucket)
    assert set(found) == {"bad-1", "bad-2", "bad-3"}
    assert len(found) == (6 if moment == "after the object" else 3)


@pytest.mark.parametrize("name", ["dead_letter_path", "delivered_path", "report_path"])
def test_a_bucket_that_does_not_exist(target: Launcher, store: Store, name: str) -> None:
    """It ends the run before anything is sent, and it is not created."""
    missing = f"missing-{uuid.uuid4().hex}"
    url = f"s3://{missing}/folder/report.html"
    run = target.run(schema(), order(1), *bad(1), state(1), **{name: url}, env=store.environment)
    assert (run.code, run.states) == (2, [])
    assert f"the bucket '{missing}' of {name} does not exist" in run.last_line
    assert missing not in store.buckets()


def test_credentials_that_may_only_write(
    target: Launcher, store: Store, door: Door, bucket: str, url: str
) -> None:
    """Being forbidden to look is no error."""
    door.before = lambda asked: 403 if asked.method in {"GET", "HEAD"} else None
    given = {"dead_letter_path": url, "delivered_path": f"{url}/../sent"}
    run = target.run(
        schema(columns=WITH_ID), *numbered(1), *bad(1), state(1), **given, env=door.environment
    )
    assert (run.code, run.states) == (0, [1]), run.log
    assert [asked.method for asked in door.asked if asked.method == "PUT"] == ["PUT", "PUT"]


def test_credentials_that_may_not_write(
    target: Launcher, store: Store, door: Door, bucket: str, url: str
) -> None:
    """It ends the run without STATE, at the first object, and without trying again."""
    door.before = lambda asked: 403 if asked.method == "PUT" else None
    run = target.run(
        schema(columns=WITH_ID), *bad(1), state(1), dead_letter_path=url, env=door.environment
    )
    assert (run.code, run.states) == (1, [])
    assert "dead_letter_path cannot be written: access is denied" in run.last_line
    assert "made-up" not in run.log


def test_a_store_that_comes_back(
    target: Launcher, store: Store, door: Door, bucket: str, url: str
) -> None:
    """A run goes on when the store can be reached again."""
    refused: list[Asked] = []

    def refuse(asked: Asked) -> int | None:
        if asked.method == "PUT" and len(refused) < 2:
            refused.append(asked)
            return 503
        return None

    door.before = refuse
    run = target.run(
        schema(columns=WITH_ID),
        *numbered(1),
        *bad(1),
        state(1),
        dead_letter_path=url,
        env=door.environment,
        constants=NO_PAUSE,
    )
    assert (run.code, run.states) == (0, [1]), run.log
    assert letters(store, bucket) == ["bad-1"]
    assert any("dead_letter_path cannot be reached" in warning for warning in run.warnings)


def test_a_store_that_goes_down(target: Launcher, door: Door, url: str) -> None:
    """The run fails without the STATE that the store's failure holds back."""
    given = {"dead_letter_path": url, "max_retry_seconds": 1, "batch_size_rows": 1}
    run = target.start(**given, env=door.environment, constants=OFTEN | NO_PAUSE).started()
    run.send(schema(columns=WITH_ID), *numbered(1), state(1))
    wait_until(lambda: run.states == [1], "a STATE")
    door.before = lambda _: 503
    run.send(*bad(1), state(2))
    run.close_input().wait()
    assert (run.code, run.states) == (1, [1])
    assert "dead_letter_path could not be reached" in run.last_line


def test_an_upload_that_hangs(target: Launcher, door: Door, url: str) -> None:
    """A run that is stopped while the store does not answer is over in time, without STATE."""
    hanging, over = threading.Event(), threading.Event()

    def hang(asked: Asked) -> int | None:
        if asked.method != "PUT":
            return None
        hanging.set()
        over.wait(20)
        return 503

    door.before = hang
    constants = OFTEN | {"target_liveintent.target:TargetLiveIntent.stop_seconds": 0.2}
    given = {"dead_letter_path": url, "flush_interval_seconds": 1, "env": door.environment}
    run = target.start(constants=constants, **given)
    run.send(schema(columns=WITH_ID), *numbered(1), *bad(1), state(1))
    assert hanging.wait(20)
    run.signal(signal.SIGTERM).wait(10)
    assert (run.code, run.stdout) == (143, "")
    over.set()


def test_parts_of_delivered_events(
    target: Launcher, sandbox: Sandbox, store: Store, bucket: str
) -> None:
    """There is a part for each STATE that has rows, a whole file each."""
    path, env = f"s3://{bucket}/sent", store.environment
    run = target.start(delivered_path=path, batch_size_rows=1, env=env, constants=OFTEN).started()
    run.send(schema(columns=WITH_ID))
    for number in (1, 2):
        run.send(order(number, event_id=f"order-{number}"), state(number))
        wait_until(lambda n=number: run.states and run.states[-1] == n, "its STATE")
    run.send(state(3))
    wait_until(lambda: run.states[-1] == 3, "a STATE without rows")
    run.close_input().wait()
    parts = store.objects(bucket)
    assert [key.rpartition(".")[2] for key in parts] == ["csv", "csv"]
    assert all(part.startswith(b"event_time,") for part in parts.values())
    assert [len(part.splitlines()) for part in parts.values()] == [2, 2]


def test_the_report(target: Launcher, store: Store, bucket: str) -> None:
    """The page and its JSON are put beside each other."""
    run = target.run(
        schema(), order(1), report_path=f"s3://{bucket}/a/report.html", env=store.environment
    )
    assert run.code == 0
    objects = store.objects(bucket)
    assert list(objects) == ["a/report.html", "a/report.json"]
    assert json.loads(objects["a/report.json"])["streams"]


def test_people_not_to_send(target: Launcher, sandbox: Sandbox, store: Store, bucket: str) -> None:
    """The list is read from the store."""
    store.client.put_object(Bucket=bucket, Key="people.txt", Body=b"buyer1@example.com\n")
    run = target.run(
        schema(),
        *orders(1, 3),
        suppression_path=f"s3://{bucket}/people.txt",
        env=store.environment,
    )
    assert run.code == 0
    assert run.summary["orders"].delivered == 1


def test_people_that_cannot_be_read(target: Launcher, door: Door, bucket: str) -> None:
    """A run must not send without the list."""
    path = f"s3://{bucket}/people.txt"
    run = target.run(schema(), order(1), state(1), suppression_path=path, env=door.environment)
    assert (run.code, run.states) == (2, [])
    assert "suppression_path cannot be read" in run.last_line


def test_no_credentials(target: Launcher, store: Store, url: str) -> None:
    """A run without credentials ends at its start."""
    environment = {k: v for k, v in store.environment.items() if "KEY" not in k}
    run = target.run(schema(), order(1), dead_letter_path=url, env=environment)
    assert run.code == 2
    assert "dead_letter_path cannot be used: no credentials" in run.last_line


def test_a_dry_run_asks_no_store(target: Launcher, door: Door, url: str) -> None:
    """It writes no dead letters."""
    run = target.run(
        schema(),
        *bad(1),
        dead_letter_path=url,
        delivered_path=url + "/sent",
        dry_run=True,
        env=door.environment,
    )
    assert (run.code, door.asked) == (0, [])
