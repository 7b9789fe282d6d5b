"""Dead letters in S3: what `--dead-letters` shows of them, and replays from and to S3."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from integration_fixtures import LETTERS_FOLDER
from integration_support import LETTERS, lines, order, read_letters, schema, wait_until

from target_liveintent.conversions.model import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from integration_support import Launcher, Running
    from object_store import Asked, Door, Store

    from target_liveintent.sandbox import Sandbox


def start_replay(target: Launcher, path: str, env: Mapping[str, str], **settings: Any) -> Running:
    """Start `--replay` over the dead letters of a path; empty means the setting."""
    arguments = ["--config", str(target.config(**settings)), "--replay", *filter(None, [path])]
    return target.command(*arguments, env=env, forks=target.forks)


def replay(target: Launcher, path: str, env: Mapping[str, str], **settings: Any) -> Running:
    """Run `--replay` to its end."""
    return start_replay(target, path, env, **settings).wait()


def letters(*event_ids: str) -> bytes:
    """Return dead letters; those whose event IDs begin with `bad` cannot be sent."""
    messages = [schema(DEAD_LETTERS, ("event_id", "event_time", "sha2"), ())]
    for event_id in event_ids:
        record = order(1, id=..., email=..., event_id=event_id)["record"]
        record |= {"sha2": "a" * 64, "reason": "invalid_source", "stream": "orders"}
        if event_id.startswith("bad"):
            record |= {"reason": "missing_event_time", "event_time": None}
        messages.append({"type": "RECORD", "stream": DEAD_LETTERS, "record": record})
    return lines(messages)


def put(store: Store, bucket: str, **objects: bytes) -> None:
    """Put objects of dead letters."""
    for name, content in objects.items():
        key = f"{LETTERS_FOLDER}/{name}.singer"
        store.client.put_object(Bucket=bucket, Key=key, Body=content)


def left(store: Store, bucket: str) -> dict[str, list[str]]:
    """Return the event IDs of dead letters by the names of their objects."""
    pattern = rb'"event_id":\s*"([^"]+)"'
    return {
        key.removeprefix(f"{LETTERS_FOLDER}/"): [
            found.decode() for found in re.findall(pattern, content)
        ]
        for key, content in store.objects(bucket).items()
    }


def sent(sandbox: Sandbox) -> list[str]:
    """Return the IDs of the events that came, each time."""
    return sorted(event["eventId"] for event in sandbox.events)


def test_a_replay(target: Launcher, sandbox: Sandbox, store: Store, bucket: str, url: str) -> None:
    """It deletes an object that it has sent whole, and leaves in another what it cannot send."""
    put(store, bucket, a=letters("1", "2"), b=letters("3", "bad"), c=letters("bad-too"))
    store.client.put_object(Bucket=bucket, Key=f"{LETTERS_FOLDER}/_pending/x.singer", Body=b"x")
    store.client.put_object(Bucket=bucket, Key=f"{LETTERS_FOLDER}/notes.txt", Body=b"x")
    run = replay(target, "", store.environment, dead_letter_path=url)
    assert run.code == 0, run.log
    assert left(store, bucket) == {
        "_pending/x.singer": [],
        "b.singer": ["bad"],
        "c.singer": ["bad-too"],
        "notes.txt": [],
    }
    assert store.objects(bucket)[f"{LETTERS_FOLDER}/b.singer"].startswith(b'{"type":"SCHEMA"')
    assert sent(sandbox) == ["1", "2", "3"]
    assert f"{url}: 5 dead letters" in run.stdout


def test_a_dry_run_changes_nothing(
    target: Launcher, sandbox: Sandbox, store: Store, bucket: str, url: str
) -> None:
    """It shows what a replay would do."""
    put(store, bucket, a=letters("1", "bad"))
    before = store.objects(bucket)
    run = replay(target, "", store.environment, dead_letter_path=url, dry_run=True)
    assert (run.code, sent(sandbox), store.objects(bucket)) == (0, [], before)
    assert "would be sent 1" in run.stdout


@pytest.mark.parametrize("to", ["a file", "another folder"])
def test_what_is_left_goes_elsewhere(
    target: Launcher, store: Store, bucket: str, url: str, to: str
) -> None:
    """What is left goes to `dead_letter_path`, whatever that is."""
    put(store, bucket, a=letters("1", "bad"))
    there = "own.singer" if to == "a file" else f"s3://{bucket}/other"
    run = replay(target, url, store.environment, dead_letter_path=there)
    assert run.code == 0, run.log
    if to == "a file":
        assert [x["event_id"] for x in read_letters(target.folder / there)] == ["bad"]
        assert store.objects(bucket) == {}
    else:
        ((key, event_ids),) = left(store, bucket).items()
        assert re.fullmatch(r"other/a(-[0-9a-f]{12}){2}\.singer", key)
        assert event_ids == ["bad"]


def test_a_file_into_a_store(target: Launcher, store: Store, bucket: str, url: str) -> None:
    """What is left of a file goes into an object, whose name is the ID of the replay."""
    file = target.folder / "own.singer"
    file.write_bytes(letters("1", "bad"))
    run = replay(target, str(file), store.environment, dead_letter_path=url)
    assert run.code == 0, run.log
    assert not file.exists()
    ((key, event_ids),) = left(store, bucket).items()
    assert re.fullmatch(r"[0-9a-f-]{36}\.singer", key)
    assert event_ids == ["bad"]
    assert not list(target.folder.glob("*.journal"))


def killing(run: Running, *methods: str) -> Callable[[Asked], int | None]:
    """Return what kills a run at a request of one of these methods, before the store gets it."""

    def kill(asked: Asked) -> int | None:
        if asked.method not in methods:
            return None
        run.process.kill()
        run.process.wait()
        return 503

    return kill


def test_a_replay_that_is_killed(
    target: Launcher, sandbox: Sandbox, store: Store, door: Door, bucket: str
) -> None:
    """Its repetition sends nothing twice, and leaves each dead letter once."""
    put(store, bucket, a=letters("1", "2"), b=letters("3", "bad"))
    given = {"dead_letter_path": f"s3://{bucket}/{LETTERS_FOLDER}", "ledger": False}
    run = start_replay(target, "", door.environment, **given)
    door.before = killing(run, "PUT", "DELETE")
    wait_until(lambda: run.process.poll() is not None, "its end")
    assert left(store, bucket) == {"a.singer": ["1", "2"], "b.singer": ["3", "bad"]}
    again = replay(target, "", store.environment, **given)
    assert again.code == 0, again.log
    assert left(store, bucket) == {"b.singer": ["bad"]}
    assert sent(sandbox) == ["1", "2", "3"]
    assert not list(target.folder.glob(".liveintent-replay*"))


def test_a_replay_into_a_file_that_is_killed(
    target: Launcher, sandbox: Sandbox, store: Store, door: Door, bucket: str
) -> None:
    """What it has put into the file is there once, though its object was still to be deleted."""
    url = f"s3://{bucket}/{LETTERS_FOLDER}"
    put(store, bucket, a=letters("1", "bad-1"), b=letters("bad-2"))
    run = start_replay(target, url, door.environment)
    door.before = killing(run, "DELETE")
    wait_until(lambda: run.process.poll() is not None, "its end")
    own = target.folder / LETTERS
    assert [x["event_id"] for x in read_letters(own)] == ["bad-1"]
    for path in ("", url):
        again = replay(target, path, store.environment)
        assert again.code == 0, again.log
    assert [x["event_id"] for x in read_letters(own)] == ["bad-1", "bad-2"]
    assert (sent(sandbox), store.objects(bucket)) == (["1"], {})
    assert not list(target.folder.glob(".liveintent-replay*"))


def test_an_object_that_is_replaced_after_the_kill(
    target: Launcher, sandbox: Sandbox, store: Store, door: Door, bucket: str
) -> None:
    """Other letters under its name, as Spark may write them, are replayed as well."""
    url = f"s3://{bucket}/{LETTERS_FOLDER}"
    put(store, bucket, a=letters("bad-1"))
    run = start_replay(target, url, door.environment)
    door.before = killing(run, "DELETE")
    wait_until(lambda: run.process.poll() is not None, "its end")
    put(store, bucket, a=letters("1", "bad-2"))
    assert replay(target, url, store.environment).code == 0
    letters_left = read_letters(target.folder / LETTERS)
    assert [x["event_id"] for x in letters_left] == ["bad-1", "bad-2"]
    assert (sent(sandbox), store.objects(bucket)) == (["1"], {})
    assert not list(target.folder.glob(".liveintent-replay*"))


def test_many_objects(
    target: Launcher, sandbox: Sandbox, store: Store, bucket: str, url: str
) -> None:
    """The first line says how many there are, and lists none of them."""
    put(store, bucket, **{f"o{n}": letters(str(n), f"bad-{n}") for n in range(30)})
    run = replay(target, "", store.environment, dead_letter_path=url)
    assert run.code == 0, run.log
    assert f"replaying 60 dead letters from '{url}' (30 objects)\n" in run.log
    assert len(sent(sandbox)) == 30


def test_a_store_that_fails_a_replay(
    target: Launcher, sandbox: Sandbox, store: Store, door: Door, bucket: str
) -> None:
    """What cannot be put back stays where it was; the run fails."""
    put(store, bucket, a=letters("1", "bad"))
    door.before = lambda asked: 403 if asked.method == "PUT" else None
    given = {"dead_letter_path": f"s3://{bucket}/{LETTERS_FOLDER}"}
    run = replay(target, "", door.environment, **given)
    assert run.code == 1
    assert "dead_letter_path cannot be written: access is denied" in run.log
    assert left(store, bucket) == {"a.singer": ["1", "bad"]}


def show(target: Launcher, path: str, env: Mapping[str, str], **settings: Any) -> Running:
    """Run `--dead-letters` over the dead letters of a path."""
    arguments = ["--config", str(target.config(**settings)), "--dead-letters", path]
    return target.command(*arguments, "--format=json", env=env, forks=target.forks).wait()


def test_dead_letters_are_shown(
    target: Launcher, store: Store, door: Door, bucket: str, url: str
) -> None:
    """They are counted over all objects directly in the folder; nothing is written."""
    put(store, bucket, a=letters("1", "2"), b=letters("bad"))
    store.client.put_object(Bucket=bucket, Key=f"{LETTERS_FOLDER}/_pending/x.singer", Body=b"x")
    run = show(target, url, door.environment)
    assert run.code == 0, run.log
    found = json.loads(run.stdout)
    assert (found["path"], found["files"], found["letters"]) == (url, 2, 3)
    assert {asked.method for asked in door.asked} == {"GET", "HEAD"}


def test_no_dead_letters_are_shown(target: Launcher, store: Store, url: str) -> None:
    """A folder without objects has none; a bucket that does not exist is an error."""
    run = show(target, url, store.environment)
    assert (run.code, json.loads(run.stdout)["letters"]) == (0, 0)
    run = show(target, "s3://missing-bucket/letters", store.environment)
    assert run.code == 2
    assert "the bucket 'missing-bucket' of dead_letter_path does not exist" in run.last_line


@pytest.mark.parametrize("option", ["--replay", "--dead-letters"])
def test_a_path_with_a_secret(target: Launcher, option: str) -> None:
    """It is refused, and not shown."""
    config = ["--config", str(target.config())]
    url = "s3://AKIA1:s3cr3t@bucket/letters"
    run = target.command(*config, option, url, forks=target.forks).wait()
    assert run.code == 2
    assert f"option '{option}' must be a URL without a user" in run.last_line
    assert not re.search("s3cr3t|AKIA1", run.log + run.stdout)
