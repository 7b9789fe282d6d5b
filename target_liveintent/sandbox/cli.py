"""The command line `liveintent-sandbox`, which runs the sandbox as a program."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTRA = "pip install 'target-liveintent[sandbox]'"
_EXTRA_MODULES = ("starlette", "uvicorn")
_USAGE_ERROR = 2


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:  # noqa: PLR2004 - the range of ports
        msg = "must be a number from 0 to 65535"
        raise argparse.ArgumentTypeError(msg)
    return port


OPTIONS: dict[str, dict[str, Any]] = {
    "--host": {"default": "127.0.0.1", "help": "the loopback address to listen on"},
    "--port": {
        "type": _port,
        "default": 8086,
        "help": "the port to listen on; 0 means any free port",
    },
    "--customer-id": {"default": "a-1b2c", "help": "the customer ID that the sandbox accepts"},
    "--auth-token": {"default": "sandbox-token", "help": "the token that the sandbox accepts"},
    "--seed": {
        "type": int,
        "help": "the seed of the random choice of requests, for faults that have a probability",
    },
}
"""The arguments of `ArgumentParser.add_argument` for each option of the command line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until it is interrupted.

    Args:
        argv: The arguments; None means those of the process.

    Returns:
        The exit code: 0 after an interrupt or SIGTERM; 2 if the sandbox cannot start. In that case,
        one line on standard error says why.
    """
    options = _parser().parse_args(argv)
    try:
        from target_liveintent.sandbox.server import Sandbox  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA_MODULES:
            raise
        return _fail(f"the sandbox needs packages that are not installed: run {_EXTRA}")
    # Both signals raise KeyboardInterrupt, wherever the program is. SIGINT needs a handler because
    # a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sandbox = Sandbox(
            host=options.host,
            port=options.port,
            customer_id=options.customer_id,
            auth_token=options.auth_token,
            seed=options.seed,
        )
        with sandbox:
            print(  # noqa: T201 - a program's output
                f"Sandbox of the LiveIntent Conversions API on {sandbox.url} "
                f"(customer {options.customer_id}, token {options.auth_token}). "
                f"Page: {sandbox.url}/",
                flush=True,
            )
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    except ValueError as error:
        return _fail(f"{error}")
    except OSError as error:
        return _fail(f"cannot listen on {options.host} port {options.port}: {error.strerror}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liveintent-sandbox",
        description="A local copy of LiveIntent's Conversions API.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, arguments in OPTIONS.items():
        parser.add_argument(name, **arguments)
    return parser


def _fail(reason: str) -> int:
    print(f"liveintent-sandbox: {reason}", file=sys.stderr)  # noqa: T201 - a program's output
    return _USAGE_ERROR
