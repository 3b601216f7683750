"""What can go wrong between client and server, each told in the words of `errors`, none of it for ever."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from flux_middleware.errors import (
    InvalidApiKeyError,
    ScopeError,
    ServerRefusedError,
    ServerUnreachableError,
    TransportError,
)
from flux_middleware.snapshot import UsageBatch, UsageReceipt, UsageSlot, encode
from flux_middleware.transport import StreamEvent, Transport
from tests.flux_middleware.hosts import NOON, forked
from tests.flux_middleware.servers import Connection, response, run_raw_server

KEY = "flux_test_0123456789"
BATCH = UsageBatch("a" * 32, (UsageSlot("acme", "calls", NOON, 3),))
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def send(url: str, timeout: float = 5) -> UsageReceipt:
    with closing(Transport(url, KEY)) as transport:
        return transport.send_usage(BATCH, timeout=timeout)


def follow(url: str, heartbeat: float = 1) -> list[list[StreamEvent]]:
    with (
        closing(Transport(url, KEY)) as transport,
        transport.stream(7, usage_since=3, heartbeat=heartbeat) as batches,
    ):
        return list(batches)


def snapshot(url: str) -> list[str]:
    with closing(Transport(url, KEY)) as transport, transport.snapshot() as lines:
        return list(lines)


ASK = pytest.mark.parametrize("ask", [send, follow, snapshot])
Ask = Callable[[str], object]


@ASK
def test_every_request_says_who_asks(ask: Ask) -> None:
    with run_raw_server(response(500)) as server, pytest.raises(ServerRefusedError):
        ask(server.url)

    assert f"authorization: bearer {KEY}".encode() in server.requests[0].lower().replace(
        KEY.upper().encode(), b""
    )


def test_a_stream_goes_on_from_where_the_store_is() -> None:
    with run_raw_server(STREAM_HEAD) as server:
        follow(server.url)

    request = server.requests[0].lower()
    assert b"get /v1/stream?usage_since=3&heartbeat=1 http/1.1" in request
    assert b"last-event-id: 7" in request


@ASK
@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(401, InvalidApiKeyError, id="unknown-or-revoked-key"),
        pytest.param(403, ScopeError, id="scope"),
        pytest.param(404, ServerRefusedError, id="not-a-flux-server"),
        pytest.param(500, ServerRefusedError, id="broken"),
    ],
)
def test_a_refusal_says_what_the_server_said(ask: Ask, status: int, error: type[ServerRefusedError]) -> None:
    problem = b'{"detail": "make another key"}'
    with run_raw_server(response(status, problem)) as server, pytest.raises(error) as raised:
        ask(server.url)

    assert raised.value.status == status
    assert str(raised.value) == f"the Flux server answered {status}: make another key"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("", None)],
)
def test_a_busy_server_says_when_to_come_back(header: str, seconds: float | None) -> None:
    busy = response(503, b"", f"Retry-After: {header}")
    with run_raw_server(busy) as server, pytest.raises(ServerRefusedError) as raised:
        send(server.url)

    assert raised.value.retry_after == seconds


@ASK
def test_a_redirect_is_not_followed_and_says_where_to(ask: Ask) -> None:
    moved = response(308, b"", "Location: https://flux.example/")
    with (
        run_raw_server(moved) as server,
        pytest.raises(ServerRefusedError, match=r"FLUX_URL to 'https://flux"),
    ):
        ask(server.url)

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>Welcome!</html>", id="html"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"accepted": "all"}', id="other-json"),
        pytest.param(b"\xff\xfe", id="no-text"),
    ],
)
def test_an_answer_that_is_no_receipt_is_an_error(body: bytes) -> None:
    with (
        run_raw_server(response(200, body)) as server,
        pytest.raises(TransportError, match="as a Flux server"),
    ):
        send(server.url)


@ASK
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="hung-up"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="not-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="cut-in-the-headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort", id="cut-in-the-body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="broken-chunks"),
        pytest.param(response(200, b"no gzip", "Content-Encoding: gzip"), id="broken-compression"),
    ],
)
def test_an_answer_that_breaks_off_is_an_error(ask: Ask, answer: bytes) -> None:
    with run_raw_server(answer) as server, pytest.raises(TransportError) as raised:
        ask(server.url)

    assert server.url in str(raised.value)


@ASK
def test_nobody_who_listens_is_an_error(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    with pytest.raises(ServerUnreachableError, match="cannot reach"):
        ask(url)


def test_a_name_that_does_not_resolve_is_an_error() -> None:
    with pytest.raises(ServerUnreachableError, match="cannot reach"):
        send("http://flux.invalid")


def test_a_compressed_snapshot_arrives_line_by_line() -> None:
    body = gzip.compress("one\ntwo é\n".encode())
    with run_raw_server(response(200, body, "Content-Encoding: gzip")) as server:
        assert snapshot(server.url) == ["one", "two é"]


def test_events_that_arrive_together_are_handed_on_together() -> None:
    go_on = threading.Event()

    def answer(connection: Connection) -> None:
        connection.send(STREAM_HEAD + b"event: hello\ndata: 1\n\nevent: change\nid: 8\ndata: 2\n\n")
        go_on.wait(10)
        connection.send(b"event: heartbeat\ndata: 3\n\nevent: usa")
        connection.send(b"ge\ndata: 4\n\n")

    with (
        run_raw_server(answer) as server,
        closing(Transport(server.url, KEY)) as transport,
        transport.stream(7, usage_since=3, heartbeat=1) as batches,
    ):
        first = next(batches)
        go_on.set()
        rest = [event for batch in batches for event in batch]

    assert first == [StreamEvent("hello", "1"), StreamEvent("change", "2", 8)]
    assert [(event.name, event.data) for event in rest] == [("heartbeat", "3"), ("usage", "4")]


@pytest.mark.parametrize("identifier", ["", "x", "-1", "1.5"])
def test_an_event_id_that_is_no_revision_is_none(identifier: str) -> None:
    event = f"event: change\nid: {identifier}\ndata: 1\n\n".encode()
    with run_raw_server(STREAM_HEAD + event) as server:
        assert follow(server.url) == [[StreamEvent("change", "1", None)]]


def test_a_stream_of_something_else_is_an_error() -> None:
    with (
        run_raw_server(response(200, b"{}", "Content-Type: application/json")) as server,
        pytest.raises(TransportError, match="as a Flux server"),
    ):
        follow(server.url)


def test_a_server_that_takes_the_request_and_never_answers_is_given_up() -> None:
    with run_raw_server(Connection.wait_for_the_end) as server:
        began = time.monotonic()
        with pytest.raises(ServerUnreachableError, match="does not answer"):
            send(server.url, timeout=0.2)

    assert time.monotonic() - began < 4


def test_a_stream_whose_heartbeats_fail_to_come_is_given_up() -> None:
    def answer(connection: Connection) -> None:
        connection.send(STREAM_HEAD + b"event: hello\ndata: 1\n\n")
        connection.wait_for_the_end()

    with run_raw_server(answer) as server:
        began = time.monotonic()
        with pytest.raises(ServerUnreachableError, match="does not answer"):
            follow(server.url, heartbeat=0.2)

    assert 0.9 < time.monotonic() - began < 5


@ASK
def test_an_interrupted_request_fails_at_once(ask: Ask) -> None:
    def interrupt() -> None:
        server.asked.wait(10)
        transport.interrupt()

    with run_raw_server(Connection.wait_for_the_end) as server:
        transport = Transport(server.url, KEY)
        thread = threading.Thread(target=interrupt)
        thread.start()
        began = time.monotonic()
        with pytest.raises(ServerUnreachableError):
            ask_with(ask, transport)
        thread.join()
        transport.close()

    assert time.monotonic() - began < 4


def ask_with(ask: Ask, transport: Transport) -> None:
    if ask is send:
        transport.send_usage(BATCH)
    elif ask is follow:
        with transport.stream(7, usage_since=3, heartbeat=20) as batches:
            list(batches)
    else:
        with transport.snapshot() as lines:
            list(lines)


@ASK
def test_an_interrupted_transport_asks_nothing_more(ask: Ask) -> None:
    with run_raw_server(response(200)) as server, closing(Transport(server.url, KEY)) as transport:
        transport.interrupt()
        with pytest.raises(ServerUnreachableError, match="was shut down"):
            ask_with(ask, transport)

    assert server.requests == []


def test_an_interruption_while_connecting_is_not_missed() -> None:
    def interrupt_when_connected(event: str, info: object) -> None:
        if event == "connection.connect_tcp.started":
            transport.interrupt()
        trace(event, info)  # type: ignore[arg-type]

    with (
        run_raw_server(Connection.wait_for_the_end) as server,
        closing(Transport(server.url, KEY)) as transport,
    ):
        trace = transport._trace
        transport._trace = interrupt_when_connected  # type: ignore[method-assign]
        began = time.monotonic()
        with pytest.raises(ServerUnreachableError):
            transport.send_usage(BATCH)

    assert time.monotonic() - began < 4


def test_a_connection_is_used_again_and_none_is_left_open() -> None:
    receipt = response(200, encode(UsageReceipt(1)))

    def answer(connection: Connection) -> None:
        connection.send(receipt)
        server.requests.append(connection.request())
        connection.send(receipt)
        connection.wait_for_the_end()

    with run_raw_server(answer) as server, closing(Transport(server.url, KEY)) as transport:
        answers = [transport.send_usage(BATCH) for _ in "ab"]
        assert len(transport._alive()) == 1

    assert answers == [UsageReceipt(1)] * 2
    assert transport._alive() == [] or transport._alive()[0].fileno() == -1


def test_a_forked_child_lets_go_of_the_connection_without_a_word() -> None:
    with run_raw_server(two_receipts) as server, closing(Transport(server.url, KEY)) as transport:
        transport.send_usage(BATCH)

        def work(say: Callable[[object], None]) -> None:
            transport.forget()
            say([each.fileno() for each in transport._alive()])

        with forked(work) as child:
            assert child.line() == "[-1]"

        assert transport.send_usage(BATCH) == UsageReceipt(1)
        assert len(server.requests) == 1


def two_receipts(connection: Connection) -> None:
    for _ in "ab":
        connection.send(response(200, encode(UsageReceipt(1))))
        connection.request()


def test_a_transport_that_was_never_used_opened_nothing() -> None:
    transport = Transport("http://127.0.0.1:1", KEY)

    transport.interrupt()
    transport.forget()
    transport.close()

    assert transport._opened is None


def test_the_key_is_in_no_error() -> None:
    with run_raw_server(response(401, b"{}")) as server, pytest.raises(InvalidApiKeyError) as raised:
        send(server.url)

    assert KEY not in repr(raised.value)
