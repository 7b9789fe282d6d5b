"""Dead letters of Spark in S3, by moto."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest
from object_store import Store
from spark_support import Spark, closing, options, query

from target_liveintent.privacy.identity import derive_event_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spark_support import Recorder

pytestmark = pytest.mark.spark


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Serve S3, whose place Spark's processes find in their environment."""
    store = Store()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.close()


def test_dead_letters_in_a_bucket(store: Store, server: Recorder, tmp_path: Path) -> None:
    """There is an object for each task, in a bucket that exists; none is created."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    guests = "CASE WHEN id % 10 = 7 THEN NULL ELSE concat('buyer', id, '@example.com') END"
    given = options(server.url, tmp_path, dead_letter_path=f"s3://{bucket}/letters")
    given["audit_path"] = f"s3://{bucket}/audit"
    with closing(Spark(tmp_path)) as spark:
        said = spark.failure("write", sql=query(100, email=guests), options=given)
        assert f"the bucket '{bucket}' of option 'dead_letter_path' does not exist" in said
        assert bucket not in store.buckets()
        store.client.create_bucket(Bucket=bucket)
        spark.do("write", sql=query(100, email=guests), options=given)
    objects = store.objects(bucket)
    assert objects["letters/_pending/README"]
    published = [name for name in objects if name.endswith(".singer")]
    assert len(published) == 4
    assert all(name.rpartition("/")[0] == "letters" for name in published)
    records = []
    for name in published:
        content = objects[name]
        head, *others = map(json.loads, content.splitlines())
        assert head["type"] == "SCHEMA"
        records += [message["record"]["event_id"] for message in others]
    assert sorted(records) == sorted(derive_event_id("orders", [str(n)]) for n in range(7, 100, 10))
    audited = [name for name in objects if name.startswith("audit/")]
    assert len(audited) == 1 + 4  # An empty one, and one a task.
    assert all(name.endswith(".parquet") for name in audited)
