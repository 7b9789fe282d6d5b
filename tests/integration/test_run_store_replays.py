"""Dead letters in S3: what `--dead-letters` shows of them, and replays from and to S3."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from integration_fixtures import LETTERS_FOLDER
from integration_support import LETTERS, dead_letter, dead_letter_lines, read_letters

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration_support import Launcher, Running
    from object_store import Asked, Door, Store

    from target_liveintent.sandbox import Sandbox


def put(store: Store, bucket: str, **objects: tuple[str, ...]) -> None:
    """Put objects of dead letters; those whose event IDs begin with `bad` cannot be sent."""
    wrong = {"reason": "missing_event_time", "event_time": None}
    for name, event_ids in objects.items():
        letters = [
            dead_letter(one, **(wrong if one.startswith("bad") else {})) for one in event_ids
        ]
        key = f"{LETTERS_FOLDER}/{name}.singer"
        store.client.put_object(Bucket=bucket, Key=key, Body=dead_letter_lines(*letters))


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
    put(store, bucket, a=("1", "2"), b=("3", "bad"), c=("bad-too",))
    store.client.put_object(Bucket=bucket, Key=f"{LETTERS_FOLDER}/_pending/x.singer", Body=b"x")
    store.client.put_object(Bucket=bucket, Key=f"{LETTERS_FOLDER}/notes.txt", Body=b"x")
    run = target.ask("--replay", env=store.environment, dead_letter_path=url)
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
    put(store, bucket, a=("1", "bad"))
    before = store.objects(bucket)
    run = target.ask("--replay", env=store.environment, dead_letter_path=url, dry_run=True)
    assert (run.code, sent(sandbox), store.objects(bucket)) == (0, [], before)
    assert "would be sent 1" in run.stdout


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
    put(store, bucket, a=("1", "2"), b=("3", "bad"))
    given = {"dead_letter_path": f"s3://{bucket}/{LETTERS_FOLDER}", "ledger": False}
    run = target.begin("--replay", env=door.environment, **given)
    door.before = killing(run, "PUT", "DELETE")
    run.wait()
    assert left(store, bucket) == {"a.singer": ["1", "2"], "b.singer": ["3", "bad"]}
    again = target.ask("--replay", env=store.environment, **given)
    assert again.code == 0, again.log
    assert left(store, bucket) == {"b.singer": ["bad"]}
    assert sent(sandbox) == ["1", "2", "3"]
    assert not list(target.folder.glob(".liveintent-replay*"))


def test_a_replay_into_a_file_that_is_killed(
    target: Launcher, sandbox: Sandbox, store: Store, door: Door, bucket: str
) -> None:
    """What it has put into the file is there once, though its object was still to be deleted."""
    url = f"s3://{bucket}/{LETTERS_FOLDER}"
    put(store, bucket, a=("1", "bad-1"), b=("bad-2",))
    run = target.begin("--replay", url, env=door.environment)
    door.before = killing(run, "DELETE")
    run.wait()
    own = target.folder / LETTERS
    assert [x["event_id"] for x in read_letters(own)] == ["bad-1"]
    for paths in ([], [url]):
        again = target.ask("--replay", *paths, env=store.environment)
        assert again.code == 0, again.log
    assert [x["event_id"] for x in read_letters(own)] == ["bad-1", "bad-2"]
    assert (sent(sandbox), store.objects(bucket)) == (["1"], {})
    assert not list(target.folder.glob(".liveintent-replay*"))


def test_an_object_that_is_replaced_after_the_kill(
    target: Launcher, sandbox: Sandbox, store: Store, door: Door, bucket: str
) -> None:
    """Other letters under its name, as Spark may write them, are replayed as well."""
    url = f"s3://{bucket}/{LETTERS_FOLDER}"
    put(store, bucket, a=("bad-1",))
    run = target.begin("--replay", url, env=door.environment)
    door.before = killing(run, "DELETE")
    run.wait()
    put(store, bucket, a=("1", "bad-2"))
    assert target.ask("--replay", url, env=store.environment).code == 0
    letters_left = read_letters(target.folder / LETTERS)
    assert [x["event_id"] for x in letters_left] == ["bad-1", "bad-2"]
    assert (sent(sandbox), store.objects(bucket)) == (["1"], {})
    assert not list(target.folder.glob(".liveintent-replay*"))


def test_a_store_that_fails_a_replay(
    target: Launcher, sandbox: Sandbox, store: Store, door: Door, bucket: str
) -> None:
    """What cannot be put back stays where it was; the run fails."""
    put(store, bucket, a=("1", "bad"))
    door.before = lambda asked: 403 if asked.method == "PUT" else None
    given = {"dead_letter_path": f"s3://{bucket}/{LETTERS_FOLDER}"}
    run = target.ask("--replay", env=door.environment, **given)
    assert run.code == 1
    assert "dead_letter_path cannot be written: access is denied" in run.log
    assert left(store, bucket) == {"a.singer": ["1", "bad"]}


def test_dead_letters_are_shown(
    target: Launcher, store: Store, door: Door, bucket: str, url: str
) -> None:
    """They are counted over all objects directly in the folder; nothing is written."""
    put(store, bucket, a=("1", "2"), b=("bad",))
    store.client.put_object(Bucket=bucket, Key=f"{LETTERS_FOLDER}/_pending/x.singer", Body=b"x")
    run = target.ask("--dead-letters", url, "--format=json", env=door.environment)
    assert run.code == 0, run.log
    found = json.loads(run.stdout)
    assert (found["path"], found["files"], found["letters"]) == (url, 2, 3)
    assert {asked.method for asked in door.asked} == {"GET", "HEAD"}


def test_no_dead_letters_are_shown(target: Launcher, store: Store, url: str) -> None:
    """A folder without objects has none; a bucket that does not exist is an error."""
    how, env = "--format=json", store.environment
    run = target.ask("--dead-letters", url, how, env=env)
    assert (run.code, json.loads(run.stdout)["letters"]) == (0, 0)
    run = target.ask("--dead-letters", "s3://missing-bucket/letters", how, env=env)
    assert run.code == 2
    assert "the bucket 'missing-bucket' of dead_letter_path does not exist" in run.last_line


@pytest.mark.parametrize("option", ["--replay", "--dead-letters"])
def test_a_path_with_a_secret(target: Launcher, option: str) -> None:
    """It is refused, and not shown."""
    run = target.ask(option, "s3://AKIA1:s3cr3t@bucket/letters")
    assert run.code == 2
    assert f"option '{option}' must be a URL without a user" in run.last_line
    assert not re.search("s3cr3t|AKIA1", run.log + run.stdout)
