"""`flux doctor`: what is wrong with Flux on an application's host, and what to do about it.

It reads what the application would read, as the user that runs it, and changes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from flux_middleware.configuration import places
from flux_middleware.doctor.directory import check_directory, check_disk
from flux_middleware.doctor.finding import Finding, Level
from flux_middleware.doctor.host import Host, check_refresher, check_store, check_usage
from flux_middleware.doctor.look import in_its_own_process
from flux_middleware.doctor.server import check_clock, check_server, check_stream
from flux_middleware.doctor.settings import check_clock_url, check_key, check_url, check_versions
from flux_middleware.snapshot import Hello
from flux_middleware.transport import Transport

__all__ = ["Finding", "Level", "examine", "main"]


def main(arguments: Sequence[str] | None = None, *, program: str = "flux doctor") -> int:
    """Run the command; return its exit code: 1 if there is a problem."""
    given = _parser(program).parse_args(arguments)
    found = []
    for finding in examine(os.environ, url=given.url, directory=given.directory):
        found.append(finding)
        if not given.as_json:
            sys.stdout.write(_line(finding))
            sys.stdout.flush()
    problems = sum(finding.level is Level.PROBLEM for finding in found)
    warnings = sum(finding.level is Level.WARNING for finding in found)
    if given.as_json:
        findings = [asdict(finding) for finding in found]
        sys.stdout.write(json.dumps({"ok": not problems, "findings": findings}, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}\n")
    return 1 if problems else 0


def examine(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    directory: str | os.PathLike[str] | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Look at one thing after the other; at what depends on something wrong, not at all."""
    yield check_versions()
    finding, environment = check_key(environ)
    yield finding
    finding, server = check_url(url, environ)
    yield finding
    if environment is None or server is None:
        return
    turned = check_clock_url(environ, environment)
    if turned is not None:
        yield turned
    hello = yield from _asked(Transport(server, environ["FLUX_API_KEY"]), environment, environ, clock)
    finding, place = check_directory(places(environment, server, directory, environ))
    yield finding
    if place is not None:
        yield check_disk(place)
        yield from _kept(place, environment, hello, clock())


def _asked(
    transport: Transport, environment: str, environ: Mapping[str, str], clock: Callable[[], float]
) -> Generator[Finding, None, Hello | None]:
    try:
        finding, greeting = check_server(transport, environment, environ, clock)
        yield finding
        if greeting is None:
            return None
        yield check_clock(greeting)
        yield check_stream(transport, greeting.hello)
        return greeting.hello
    finally:
        transport.close()


def _kept(place: Path, environment: str, hello: Hello | None, now: float) -> Iterator[Finding]:
    host = Host(place, in_its_own_process(place, environment))
    yield check_refresher(host, now)
    yield check_store(host, hello, now)
    yield check_usage(host)


def _line(finding: Finding) -> str:
    fix = f"{'':19}{finding.fix}\n" if finding.fix else ""
    return f"{finding.level:7}  {finding.name:9} {finding.detail}\n{fix}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Say what is wrong with Flux on this host, and what to do. Run it as the application's user, "
        "with its FLUX_* variables; it ends with 1 if there is a problem.",
    )
    parser.add_argument("--url", help="the server's address; otherwise FLUX_URL")
    parser.add_argument(
        "--directory", help="where the application keeps what it knows; otherwise FLUX_DIRECTORY"
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")
    return parser
