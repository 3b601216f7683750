"""The `flux-sandbox` command."""

from __future__ import annotations

import signal
import socket
from typing import Annotated

import typer
import uvicorn
from starlette.applications import Starlette

from flux_sandbox.app import create_app
from flux_sandbox.errors import StripeError
from flux_sandbox.keys import key_forms
from flux_sandbox.profile import Profile

__all__ = ["app"]

app = typer.Typer(add_completion=False)


class _Server(uvicorn.Server):
    """Says where it listens, once it does: on the first line, for programs that started it."""

    def __init__(self, config: uvicorn.Config, *, livemode: bool) -> None:
        super().__init__(config)
        self._forms = key_forms(livemode=livemode)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            typer.echo(f"flux-sandbox listening on http://{host}:{port}")
            typer.echo(
                f"Any key of the form {self._forms} is taken. State is kept in memory only. Ctrl-C ends it."
            )


def _played(livemode: bool, account: str, api_version: str) -> Starlette:
    try:
        return create_app(livemode=livemode, account_id=account, api_version=api_version)
    except StripeError as error:
        raise typer.BadParameter(error.message, param_hint="--api-version") from error


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8420,
    livemode: Annotated[
        bool, typer.Option("--livemode", help="Play an account in live mode: take live keys, and no others.")
    ] = False,
    account: Annotated[str, typer.Option(help="The account's id.")] = Profile.id,
    api_version: Annotated[
        str, typer.Option(help="The version of requests that name none, and of events.")
    ] = Profile.api_version,
) -> None:
    """Run a Stripe offline: point Stripe's client at the address that is printed."""
    played = _played(livemode, account, api_version)
    config = uvicorn.Config(played, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)
    server = _Server(config, livemode=livemode)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal again once it has stopped; with this handler that ends nothing, and the exit is clean.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run()
