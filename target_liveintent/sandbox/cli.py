"""`liveintent-sandbox`: the sandbox as a program."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTRA = "pip install 'target-liveintent[sandbox]'"
_EXTRA_MODULES = ("starlette", "uvicorn")
_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted.

    Args:
        argv: Arguments, those of the process where None.

    Returns:
        0 after an interrupt or SIGTERM, 2 where the sandbox cannot start; standard error then
        says why, in one line.
    """
    options = _parser().parse_args(argv)
    try:
        from target_liveintent.sandbox.server import Sandbox  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA_MODULES:
            raise
        return _fail(f"The sandbox needs packages that are not installed. Install: {_EXTRA}")
    # Both end in the same exception, wherever the program is; a shell's background job would
    # otherwise ignore SIGINT.
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
        description="A local stand-in for LiveIntent's Conversions API.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=_port, default=8086, help="port; 0 takes a free one")
    parser.add_argument("--customer-id", default="a-1b2c", help="the customer ID it knows")
    parser.add_argument("--auth-token", default="sandbox-token", help="the token it accepts")
    parser.add_argument("--seed", type=int, help="for faults that have a probability")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:  # noqa: PLR2004 - the range of ports
        msg = "must be 0 to 65535"
        raise argparse.ArgumentTypeError(msg)
    return port


def _fail(reason: str) -> int:
    print(f"liveintent-sandbox: {reason}", file=sys.stderr)  # noqa: T201 - a program's output
    return _USAGE_ERROR
