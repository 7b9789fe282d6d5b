"""An S3 server on loopback, from the library moto."""

import logging

import pytest

_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "made-up-key",
    "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Made-up credentials, which replace the credentials of this machine."""


class Store:
    """A server of S3 that tests share. Each test uses its own bucket."""

    def __init__(self) -> None:
        # The import is here, because it takes more than a second.
        moto = pytest.importorskip("moto.server", reason="moto does not support this Python")
        import boto3

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="made-up-key",
            aws_secret_access_key="made-up-secret",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that a target needs to find and use the store."""
        return {**_CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
