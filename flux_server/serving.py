"""The server process: a socket, uvicorn, and an end within moments of being asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from flux_server.errors import StartError

__all__ = ["Server", "bind"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 3


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one.

    Raises:
        StartError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        # Python adds the address to the system's words; a name that is not found has words of its own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise StartError(
            f"cannot listen on {host} port {port} ({reason}); stop what listens there, or choose another "
            "with --host and --port or FLUX_HOST and FLUX_PORT"
        ) from error
    # Connections inherit it; asyncio sets it only on sockets that it made itself. Without it, the second half of an
    # answer waits 40 ms for the other side to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Server(uvicorn.Server):
    """uvicorn, which by itself would wait for streams that never end."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,  # paths carry tokens
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE,
                ws="none",
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, and end as a process that did what it was told: with exit code 0."""
        if threading.current_thread() is not threading.main_thread():  # only that one can hear signals
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then wait for the other requests a moment."""
        self._app.state.streams.close()
        await super().shutdown(sockets)
