"""S3 on loopback: moto's server, and a door before it that can stay shut."""

from __future__ import annotations

import http.client
import http.server
import logging
import threading
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "made-up-key",
    "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Made-up credentials, in place of any that this machine has."""


class Asked(NamedTuple):
    """A request to the store."""

    method: str
    path: str


class Store:
    """A server of S3 that tests share; each takes a bucket of its own."""

    def __init__(self) -> None:
        # Imported here, as it takes more than a second.
        import boto3
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self.host, self.port = self._server.get_host_and_port()
        self.url = f"http://{self.host}:{self.port}"
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="made-up-key",
            aws_secret_access_key="made-up-secret",
        )

    @property
    def environment(self) -> dict[str, str]:
        """Where a target finds the store, and its credentials."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def buckets(self) -> list[str]:
        """The names of all buckets."""
        return [bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]]

    def objects(self, bucket: str) -> dict[str, bytes]:
        """The objects of a bucket, by their keys, in the order of a listing."""
        return {key: self.read(bucket, key) for key in self.keys(bucket)}

    def keys(self, bucket: str) -> list[str]:
        """The keys of a bucket, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def new_bucket(self) -> str:
        """Make a bucket, and return its name."""
        name = f"bucket-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=name)
        return name

    def close(self) -> None:
        """End it."""
        self._server.stop()


class Door:
    """Passes requests on to a store, unless a test shuts it.

    Attributes:
        asked: The requests that came.
        before: Called with each request before the store gets it: a status answers it at once,
            None passes it on.
        after: Called with each request when the store has answered, before the answer goes back.
    """

    def __init__(self, store: Store) -> None:
        self.asked: list[Asked] = []
        self.before: Callable[[Asked], int | None] = lambda _: None
        self.after: Callable[[Asked], object] = lambda _: None
        self._store = store
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65_537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                door.serve(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """Where a target finds the door, and its credentials."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": url}

    def serve(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        asked = Asked(request.command, request.path)
        self.asked.append(asked)
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        status = self.before(asked)
        if status is not None:
            self._answer(request, status, {}, b"")
            return
        connection = http.client.HTTPConnection(self._store.host, self._store.port)
        connection.request(asked.method, asked.path, body, dict(request.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.after(asked)
        self._answer(request, answer.status, dict(answer.getheaders()), content)
        connection.close()

    def _answer(
        self,
        request: http.server.BaseHTTPRequestHandler,
        status: int,
        headers: Mapping[str, str],
        content: bytes,
    ) -> None:
        request.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def __enter__(self) -> Self:
        """Do nothing: it is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
