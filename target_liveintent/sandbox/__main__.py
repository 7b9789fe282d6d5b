"""The command line `liveintent-sandbox`, or `python -m target_liveintent.sandbox`."""

from __future__ import annotations

import signal
import time

import click


@click.command(context_settings={"show_default": True})
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8086,
    help="the port to listen on; 0 means any free port",
)
@click.option("--customer-id", default="a-1b2c", help="the customer ID that the sandbox accepts")
@click.option("--auth-token", default="sandbox-token", help="the token that the sandbox accepts")
def main(port: int, customer_id: str, auth_token: str) -> None:
    """Run a local copy of LiveIntent's Conversions API until Ctrl-C or SIGTERM."""
    try:
        from target_liveintent.sandbox.server import Sandbox  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        msg = "Packages are missing. Run: pip install 'target-liveintent[sandbox]'"
        raise click.ClickException(msg) from error
    # Both signals raise KeyboardInterrupt. SIGINT needs a handler, because a shell starts
    # background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with Sandbox(port=port, customer_id=customer_id, auth_token=auth_token) as sandbox:
            click.echo(
                f"The sandbox of LiveIntent's Conversions API runs at {sandbox.url}. It accepts the"
                f" customer ID {customer_id} and the token {auth_token}. To see what it receives,"
                f" open {sandbox.url}/ in a browser"
            )
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return
    except OSError as error:
        msg = f"The sandbox cannot listen on port {port}: {error.strerror}. Try another --port"
        raise click.ClickException(msg) from error


if __name__ == "__main__":
    main(prog_name="liveintent-sandbox")
