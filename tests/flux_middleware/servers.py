"""A server that answers what a test tells it to: bytes on a real socket, whether they are HTTP or not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Connection", "RawServer", "Relay", "response", "run_raw_server", "run_relay"]


def response(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Connection:
    """One accepted connection."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.first = b""

    def request(self) -> bytes:
        """Return the next request, as far as it matters: its headers."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self.socket.recv(65_536)
            if not piece:
                break
            received += piece
        return received

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def wait_for_the_end(self) -> None:
        """Say nothing until the other side is gone."""
        while self.socket.recv(65_536):
            pass


class RawServer:
    """Where it listens, and the requests it got."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[bytes] = []
        self.asked = threading.Event()


@contextmanager
def run_raw_server(answer: bytes | Callable[[Connection], None]) -> Iterator[RawServer]:
    """Answer each connection in a thread of its own; bytes are an answer to one request, then the connection ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
    accepted: list[socket.socket] = []

    def serve(connection: Connection) -> None:
        with connection.socket, suppress(OSError):
            connection.first = connection.request()
            server.requests.append(connection.first)
            server.asked.set()
            if isinstance(answer, bytes):
                connection.send(answer)
            else:
                answer(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])
                thread = threading.Thread(target=serve, args=(Connection(accepted[-1]),))
                threads.append(thread)
                thread.start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield server
    finally:
        for each in (listener, *accepted):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        listener.close()


class Relay:
    """An address that stays while the server behind it comes, goes and moves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.target: str | None = None

    def connect(self) -> socket.socket | None:
        """Return a connection to the server behind it, if there is one."""
        if self.target is None:
            return None
        host, _, port = self.target.removeprefix("http://").partition(":")
        with suppress(OSError):
            return socket.create_connection((host, int(port)))
        return None


@contextmanager
def run_relay(target: str | None = None) -> Iterator[Relay]:
    """Pass bytes on in both directions; where there is nobody to pass them on to, hang up."""
    sinks: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                sink.sendall(piece)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def answer(connection: Connection) -> None:
        sink = relay.connect()
        if sink is None:
            return
        sinks.append(sink)
        with sink:
            sink.sendall(connection.first)
            back = threading.Thread(target=pump, args=(sink, connection.socket))
            back.start()
            pump(connection.socket, sink)
            back.join()

    with run_raw_server(answer) as server:
        relay = Relay(server.url)
        relay.target = target
        try:
            yield relay
        finally:
            for sink in sinks:
                with suppress(OSError):
                    sink.shutdown(socket.SHUT_RDWR)
