"""A tap that sends what is in a file, and heeds Meltano as the real one does.

It discovers, sends only what the catalog selects, and sends nothing that its bookmark has.

    replay_tap.py FILE --config CONFIG [--discover | --catalog CATALOG] [--state STATE]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def write(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")


def discover(streams: dict[str, Any]) -> None:
    available = {"inclusion": "available"}
    catalog = []
    for name, stream in streams.items():
        columns: dict[str, Any] = {column: {} for record in stream["records"] for column in record}
        breadcrumbs = [[], *(["properties", column] for column in columns)]
        catalog.append(
            {
                "tap_stream_id": name,
                "stream": name,
                "key_properties": stream["keys"],
                "schema": {"type": "object", "properties": columns},
                "metadata": [{"breadcrumb": b, "metadata": dict(available)} for b in breadcrumbs],
            }
        )
    write({"streams": catalog})


def sync(streams: dict[str, Any], catalog: list[dict[str, Any]], bookmarks: dict[str, int]) -> None:
    for entry in catalog:
        selected = {
            tuple(part["breadcrumb"])
            for part in entry["metadata"]
            if part["metadata"].get("selected")
        }
        if () in selected:
            name, keys = entry["stream"], entry["key_properties"]
            columns = {path[1] for path in selected if path} | set(keys)
            records = streams[name]["records"]
            write_stream(name, keys, columns, records[bookmarks.get(name, 0) :])
            bookmarks[name] = len(records)
            write({"type": "STATE", "value": {"bookmarks": bookmarks}})


def write_stream(
    name: str, keys: list[str], columns: set[str], records: list[dict[str, Any]]
) -> None:
    schema = {"type": "object", "properties": {column: {} for column in sorted(columns)}}
    write({"type": "SCHEMA", "stream": name, "schema": schema, "key_properties": keys})
    for record in records:
        kept = {column: value for column, value in record.items() if column in columns}
        write({"type": "RECORD", "stream": name, "record": kept})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--config", required=True)
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("--catalog", "--properties")
    parser.add_argument("--state")
    options = parser.parse_args()
    streams = json.loads(Path(options.file).read_text(encoding="utf-8"))
    if options.discover:
        discover(streams)
        return
    catalog = json.loads(Path(options.catalog).read_text(encoding="utf-8"))["streams"]
    state = json.loads(Path(options.state).read_text(encoding="utf-8")) if options.state else {}
    sync(streams, catalog, state.get("bookmarks", {}))


main()
