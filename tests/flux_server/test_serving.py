from __future__ import annotations

import socket
import time

import pytest

from flux_server.errors import StartError
from flux_server.serving import bind
from flux_server.settings import Settings
from tests.flux_server.api.following import follow
from tests.flux_server.running import run_server


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_free_port_is_found_and_small_answers_leave_at_once(host: str) -> None:
    with bind(host, 0) as listener:
        assert listener.getsockname()[1] > 0
        with socket.create_connection(listener.getsockname()[:2]), listener.accept()[0] as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_refused_with_advice() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(StartError, match=rf"port {port} \(Address already in use\).*--port or FLUX"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_refused_with_advice(host: str) -> None:
    with pytest.raises(StartError, match=rf"cannot listen on {host}.*--host.*FLUX_HOST"):
        bind(host, 0)


def test_a_server_stops_within_moments_though_streams_are_open(settings: Settings) -> None:
    with run_server(settings) as server:
        client = server.client("sdk")
        with follow(client) as events, follow(client) as others:
            assert {next(events).name, next(others).name} == {"hello"}
            asked = time.monotonic()
            with pytest.raises(RuntimeError, match="leave"):  # the block ends, and stops the server
                raise RuntimeError("leave")
    stopped = time.monotonic()

    assert stopped - asked < 5
    client.close()
