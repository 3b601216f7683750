"""Real processes that fork, serve, end and are killed: every count arrives once, and checks go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flux_middleware.client import Flux
from tests.flux_middleware.hosts import wait_until
from tests.flux_middleware.servers import Connection, run_raw_server
from tests.flux_middleware.shop import Shop

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop(wall_shop: Shop) -> Shop:
    return wall_shop


@pytest.fixture
def environ(shop: Shop, tmp_path: Path) -> dict[str, str]:
    """What a host's processes are started with."""
    return host_environ(shop.url, shop.key, tmp_path)


def host_environ(url: str, key: str, directory: Path) -> dict[str, str]:
    settings = {"FLUX_URL": url, "FLUX_API_KEY": key, "FLUX_DIRECTORY": str(directory / "flux")}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "integrations")])
    return os.environ | settings | {"PYTHONPATH": paths, "PYTHONWARNINGS": "error"}


def run(program: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def said_by(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what the program complained of; on a busy machine, not that a server took longer than an end may."""
    return [line for line in ended.stderr.splitlines() if not line.startswith("usage cannot be sent")]


def arrived(shop: Shop, environ: dict[str, str]) -> int:
    """Return what has arrived once everything on the host was sent."""
    with Flux(shop.key, url=shop.url, directory=environ["FLUX_DIRECTORY"], start=False) as last:
        assert last.flush(20)
    return shop.used()


class Puppet:
    """A process that does what it is told, line by line."""

    def __init__(self, environ: dict[str, str]) -> None:
        program = "import sys, os, flux\nfor line in sys.stdin: print(eval(line), flush=True)"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, expression: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def puppet(environ: dict[str, str]) -> Iterator[Puppet]:
    made = Puppet(environ)
    try:
        made.ask("flux.init() and flux.wait_until_ready()")
        yield made
    finally:
        made.kill()


# Who talks to the server


def test_when_the_refresher_is_killed_another_takes_over_within_about_a_second(
    shop: Shop, environ: dict[str, str]
) -> None:
    with puppet(environ) as first:
        wait_until(lambda: first.ask("flux.status().is_refresher") == "True", "the first takes office")
        with puppet(environ) as second:
            assert second.ask("flux.status().is_refresher") == "False"
            first.process.kill()
            began = time.monotonic()
            wait_until(lambda: second.ask("flux.status().is_refresher") == "True", "the second takes over")
            took = time.monotonic() - began
            shop.grant()
            wait_until(lambda: second.ask("flux.billing.is_entitled('acme', 'sso')") == "True", "it is known")

    assert took < 3  # half a second, on a machine that has nothing else to do


def test_what_one_process_hears_every_process_knows(shop: Shop, environ: dict[str, str]) -> None:
    def answers() -> list[str]:
        return [each.ask("flux.billing.is_entitled('acme', 'sso')") for each in puppets]

    with puppet(environ) as first, puppet(environ) as second:
        puppets = (first, second)
        before = answers()
        override = shop.grant()
        wait_until(lambda: answers() == ["True"] * 2, "the grant is known to all")
        shop.end(override)
        wait_until(lambda: answers() == ["False"] * 2, "its end is known to all")
        refreshers = [each.ask("flux.status().is_refresher") for each in puppets]

    assert before == ["False"] * 2
    assert sorted(refreshers) == ["False", "True"]


def test_a_child_does_not_keep_the_office_of_a_parent_that_was_killed(
    shop: Shop, environ: dict[str, str]
) -> None:
    with puppet(environ) as parent, puppet(environ) as other:
        wait_until(lambda: parent.ask("flux.status().is_refresher") == "True", "the parent takes office")
        child = int(parent.ask("os.fork() or __import__('time').sleep(60) or os._exit(0)"))
        try:
            parent.process.kill()
            wait_until(
                lambda: other.ask("flux.status().refresher") not in ("None", str(parent.process.pid)),
                "somebody takes over",
            )
        finally:
            os.kill(child, signal.SIGKILL)


# Forks


COUNT = "import flux, os, sys\nflux.init()\nassert flux.wait_until_ready()\n"


@pytest.mark.parametrize(
    ("program", "counted"),
    [
        pytest.param(
            "flux.billing.record_usage('acme', 'calls', 1)\n"
            "if os.fork() == 0:\n"
            "    flux.billing.record_usage('acme', 'calls', 10)\n"
            "    if os.fork() == 0:\n"
            "        flux.billing.record_usage('acme', 'calls', 100)\n"
            "        sys.exit()\n"
            "    os.wait()\n"
            "    sys.exit()\n"
            "flux.billing.record_usage('acme', 'calls', 1000)\n"
            "os.wait()\n",
            1_111,
            id="fork-of-a-fork",
        ),
        pytest.param(
            "import threading\n"
            "done = threading.Event()\n"
            "def count():\n"
            "    for _ in range(5_000): flux.billing.record_usage('acme', 'calls')\n"
            "threads = [threading.Thread(target=count) for _ in range(3)]\n"
            "for thread in threads: thread.start()\n"
            "for _ in range(10):\n"
            "    if os.fork() == 0:\n"
            "        assert not flux.billing.is_entitled('acme', 'sso')\n"
            "        flux.billing.record_usage('acme', 'calls')\n"
            "        os._exit(0)\n"
            "    assert os.wait()[1] == 0\n"
            "for thread in threads: thread.join()\n",
            15_010,
            id="fork-while-threads-count",
        ),
        pytest.param(
            "import multiprocessing\n"
            "flux.billing.record_usage('acme', 'calls', 1)\n"
            "context = multiprocessing.get_context('fork')\n"
            "children = [context.Process(target=flux.billing.record_usage, args=('acme', 'calls', 10))\n"
            "            for _ in range(3)]\n"
            "for child in children: child.start()\n"
            "for child in children: child.join()\n"
            "assert [child.exitcode for child in children] == [0, 0, 0]\n",
            31,
            id="multiprocessing-fork",
        ),
        pytest.param(
            "import multiprocessing\n"
            "flux.billing.record_usage('acme', 'calls', 1)\n"
            "context = multiprocessing.get_context('spawn')\n"
            "code = \"import flux; flux.init(); flux.billing.record_usage('acme', 'calls', 10)\"\n"
            "child = context.Process(target=exec, args=(code,))\n"
            "child.start()\n"
            "child.join()\n"
            "assert child.exitcode == 0\n",
            11,
            id="multiprocessing-spawn",
        ),
    ],
)
def test_children_count_for_themselves(
    shop: Shop, environ: dict[str, str], program: str, counted: int
) -> None:
    ended = run(COUNT + program, environ)

    assert (ended.returncode, said_by(ended)) == (0, [])
    assert arrived(shop, environ) == counted


def test_a_child_hears_from_the_server_when_its_parent_is_gone(shop: Shop, environ: dict[str, str]) -> None:
    program = COUNT + (
        "import time\n"
        "if os.fork(): os._exit(0)\n"
        "print('ready', flush=True)\n"
        "until = time.monotonic() + 20\n"
        "while not flux.billing.is_entitled('acme', 'sso') and time.monotonic() < until: time.sleep(0.01)\n"
        "print(flux.billing.is_entitled('acme', 'sso'), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        shop.grant()
        assert process.stdout.readline() == "True\n"


# Ends


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        pytest.param("", 0, "", id="last-line"),
        pytest.param("raise SystemExit('bye')", 1, "bye\n", id="with-a-message"),
    ],
)
def test_a_process_that_ends_has_sent_everything_and_says_nothing(
    shop: Shop, environ: dict[str, str], end: str, code: int, said: str
) -> None:
    ended = run(f"{COUNT}for _ in range(1000): flux.billing.record_usage('acme', 'calls')\n{end}", environ)

    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", said)
    assert shop.used() == 1000
    assert list(Path(environ["FLUX_DIRECTORY"]).glob("*/journals/*")) == []


def test_an_exception_that_nobody_catches_loses_no_count(shop: Shop, environ: dict[str, str]) -> None:
    ended = run(f"{COUNT}flux.billing.record_usage('acme', 'calls', 1000)\n1 / 0", environ)

    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1
    assert shop.used() == 1000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_that_ends_a_process_loses_no_count(
    shop: Shop, environ: dict[str, str], number: signal.Signals
) -> None:
    program = f"{COUNT}flux.billing.record_usage('acme', 'calls', 1000)\nos.kill(os.getpid(), {int(number)})"

    ended = run(program, environ)

    assert (ended.returncode, ended.stderr) == (-number, "")
    assert arrived(shop, environ) == 1000


def test_a_handler_of_sigterm_may_shut_down_whatever_it_interrupts(
    shop: Shop, environ: dict[str, str]
) -> None:
    program = COUNT + (
        "import signal, threading\n"
        "def end(number, frame):\n"
        "    flux.shutdown()\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "counted = 0\n"
        "while True:\n"
        "    flux.billing.record_usage('acme', 'calls')\n"
        "    counted += 1\n"
        "    os.pwrite(1, b'%020d' % counted, 0)\n"
        "    flux.billing.get_usage('acme', 'calls')\n"
    )
    with (Path(environ["FLUX_DIRECTORY"]).parent / "counted").open("w+b") as file:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env=environ,
            stdout=file,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
        file.seek(0)
        counted = int(file.read())

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert counted > 0
    assert arrived(shop, environ) - counted in (0, 1)


def test_the_end_is_bounded_when_the_server_takes_everything_and_answers_nothing(tmp_path: Path) -> None:
    program = (
        "import atexit, time\n"
        "atexit.register(lambda: print(time.monotonic() - began))\n"
        "import flux\n"
        "flux.init()\n"
        "flux.billing.record_usage('acme', 'calls')\n"
        "began = time.monotonic()"
    )
    with run_raw_server(Connection.wait_for_the_end) as server:
        ended = run(program, host_environ(server.url, "flux_test_0123456789", tmp_path))

    assert ended.returncode == 0
    assert float(ended.stdout) < 4


def test_no_signal_is_handled_and_no_hook_is_taken(environ: dict[str, str]) -> None:
    program = (
        "import signal, sys, threading\n"
        "def hooks():\n"
        "    handlers = [signal.getsignal(number) for number in signal.valid_signals()]\n"
        "    return handlers, sys.excepthook, threading.excepthook, sys.unraisablehook\n"
        "before = hooks()\n"
        "import flux\n"
        "flux.init()\n"
        "flux.wait_until_ready()\n"
        "assert hooks() == before\n"
    )

    assert run(program, environ).stderr == ""


# Under real servers


@contextmanager
def serving(environ: dict[str, str], *command: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a server on a socket of ours; `{fd}` in the command is its number."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        number = listener.fileno()
        arguments = [part.format(fd=number) for part in command]
        with subprocess.Popen(
            [sys.executable, "-m", *arguments], env=environ, pass_fds=[number], stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}", process
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def request(url: str, times: int) -> list[int]:
    """Ask that often, several at once; return which processes answered."""

    def some(_: int) -> list[int]:
        with httpx.Client(timeout=20, headers={"Connection": "close"}) as client:
            return [int(client.get(url).raise_for_status().text) for _ in range(times // 5)]

    with ThreadPoolExecutor(5) as pool:
        return [pid for pids in pool.map(some, range(5)) for pid in pids]


GUNICORN = (
    "gunicorn",
    "--no-control-socket",
    "--bind",
    "fd://{fd}",
    "--workers",
    "2",
    "tests.flux_middleware.counting_app:wsgi",
)
UVICORN = ("uvicorn", "--fd", "{fd}", "--workers", "2", "tests.flux_middleware.counting_app:asgi")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(GUNICORN, id="gunicorn"),
        pytest.param((*GUNICORN, "--preload"), id="gunicorn-preload"),
        pytest.param((*GUNICORN, "--threads", "4", "--max-requests", "15"), id="gunicorn-threads-recycled"),
        pytest.param(UVICORN, id="uvicorn"),
    ],
)
def test_every_request_is_counted_once(shop: Shop, environ: dict[str, str], command: tuple[str, ...]) -> None:
    with serving(environ, *command) as (url, process):
        answered = request(url, 40)

    assert process.returncode in (0, -signal.SIGTERM)
    assert len(answered) == 40
    assert process.pid not in answered
    assert arrived(shop, environ) == 40


def test_workers_that_are_killed_lose_no_count_and_keep_nobody_from_the_changes(
    shop: Shop, environ: dict[str, str]
) -> None:
    with serving(environ, *GUNICORN, "--preload") as (url, _):
        answered = request(url, 20)
        for pid in set(answered):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: shop.used() == 20, "what the killed ones counted arrives")
        again = request(url, 20)

    assert not set(again) & set(answered)
    assert arrived(shop, environ) == 40
