"""A server that answers what a test tells it to: bytes on a real socket, whether they are HTTP or not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Connection", "RawServer", "response", "run_raw_server"]


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
