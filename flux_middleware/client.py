"""The client: wires the parts of one process together, and the default instance behind `flux.init`.

Files of one server and environment, in a directory of their own: `journals/` with usage, and `store-1/` with what
is known and the locks that go with that format (another version of the library may keep another beside it).
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, cast

from flux_middleware.answering import Billing
from flux_middleware.answers import Status
from flux_middleware.beacon import REFRESHER
from flux_middleware.cache import Cache
from flux_middleware.catalog import FeatureValue
from flux_middleware.clock import FollowedClock
from flux_middleware.conditions import Conditions
from flux_middleware.configuration import JOURNALS, STORE, read_configuration
from flux_middleware.errors import FluxError, NotInitializedError
from flux_middleware.journal import Journal
from flux_middleware.journals import Journals
from flux_middleware.keys import FeatureKey
from flux_middleware.lmdb_store import LmdbStore
from flux_middleware.metering import Drain, drain_turn
from flux_middleware.policies import WhenStale, read_policies
from flux_middleware.refresher import Pace, Refresher
from flux_middleware.timekeeper import Timekeeper
from flux_middleware.transport import Transport

__all__ = ["Flux", "billing", "flush", "init", "shutdown", "standing_in", "status", "wait_until_ready"]

_POLL_SECONDS = 0.02
_EXIT_SECONDS = 2.0
_OBSTACLES: Final = ("refresher", "server", "usage", "clock")
"""Conditions that stand in the way, those first that others follow from."""

_clients: weakref.WeakSet[Flux] = weakref.WeakSet()


class Flux:
    """A client of one environment of one server. `billing` answers; everything else is about the client itself.

    Args:
        api_key: of scope `sdk`; otherwise FLUX_API_KEY.
        url: of the server; otherwise FLUX_URL, otherwise http://127.0.0.1:8400.
        directory: where this host keeps what it knows; otherwise FLUX_DIRECTORY, otherwise the user's state
            directory.
        clock: tells the time in seconds since the epoch; the one that FLUX_CLOCK_URL names may be ahead of it.
        start: whether to start the background thread; without it, only `flush` talks to the server.
        fallbacks: what to answer, feature by feature, on a host that never heard from the server: `{"sso": True,
            "seats": 5}`. Everything else is denied then.
        max_stale: how many seconds ago the server may have been heard of at most for checks to go by what it said;
            without it, they go by it however old it is.
        when_stale: how checks are answered beyond that: "deny", or "allow".
        pace: how often things happen in the background.

    Raises:
        ConfigurationError: an argument or a FLUX_* variable is missing or wrong.
        StoreError: the local store cannot be opened.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        url: str | None = None,
        directory: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
        start: bool = True,
        fallbacks: Mapping[FeatureKey, FeatureValue] | None = None,
        max_stale: float | None = None,
        when_stale: WhenStale = "deny",
        pace: Pace | None = None,
    ) -> None:
        policies = read_policies(fallbacks, max_stale, when_stale)
        self.configuration = read_configuration(api_key, url, directory, os.environ, policies)
        configuration = self.configuration
        store_directory = configuration.directory / STORE
        journal_directory = configuration.directory / JOURNALS
        for directory_ in (store_directory, journal_directory):
            directory_.mkdir(mode=0o700, exist_ok=True)
        self._clock = clock
        self._forking = threading.Lock()
        self._connect = functools.partial(Transport, configuration.url, configuration.api_key)
        self._is_background = start
        self._conditions = Conditions()
        self._timekeeper, clock = self._follow_clock(clock)
        self._store = LmdbStore(store_directory)
        self._journal = Journal(journal_directory, configuration.environment)
        cache = Cache(
            self._store, clock=clock, conditions=self._conditions, policies=policies, wall=self._clock
        )
        self._freshness = cache.freshness
        self.billing = Billing(
            self._store,
            cache,
            self._journal,
            Journals(journal_directory, configuration.environment),
            clock=clock,
            conditions=self._conditions,
            in_new_process=self._in_new_process,
        )
        self._refresher = Refresher(
            self._store,
            connect=self._connect,
            journals=journal_directory,
            locks=store_directory,
            environment=configuration.environment,
            conditions=self._conditions,
            clock=self._clock,
            pace=pace or Pace(),
        )
        # A client that nobody holds any more must not go on in the background, nor keep its journal from being sent.
        weakref.finalize(self, _let_go, self._refresher, self._timekeeper, self._journal).atexit = False
        _clients.add(self)
        if start:
            self._start()

    def _follow_clock(self, wall: Callable[[], float]) -> tuple[Timekeeper | None, Callable[[], float]]:
        """Return the time of plans and periods. How old something is, is measured with the wall's."""
        url = self.configuration.clock_url
        if url is None:
            return None, wall
        clock = FollowedClock(wall)
        timekeeper = Timekeeper(clock, url, conditions=self._conditions)
        timekeeper.ask()  # so that no answer is one of an earlier day
        return timekeeper, clock

    def _start(self) -> None:
        self._refresher.start()
        if self._timekeeper is not None:
            self._timekeeper.start()

    def wait_until_ready(self, timeout: float = 10.0) -> bool:
        """Wait until there is something to go by, from the server or from the local store; say whether there is."""
        deadline = time.monotonic() + timeout
        while self._store.synced() is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)  # another process may be the one that hears from the server
        return True

    def flush(self, timeout: float = 5.0) -> bool:
        """Send, in this thread, all usage of this host; say whether the server acknowledged every count.

        What it did not acknowledge stays in the journals and is sent later.
        """
        deadline = time.monotonic() + timeout
        transport = self._connect()
        journals = Journals(self._journal.directory, self.configuration.environment)
        try:
            while True:
                with drain_turn(self.configuration.directory / STORE) as turn:
                    if turn:
                        drain = Drain(self._store, journals, transport, conditions=self._conditions)
                        return drain.send(deadline=deadline)
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL_SECONDS)
        except FluxError as error:
            self._note_unsent(error)
            return False
        finally:
            transport.close()
            journals.close()

    def status(self) -> Status:
        """Return how this host's client is doing."""
        synced = self._store.synced()
        conditions = self._conditions.present()
        refresher = self._store.beacon.words[REFRESHER]
        return Status(
            ready=synced is not None,
            environment=self.configuration.environment,
            url=self.configuration.url,
            directory=str(self.configuration.directory),
            revision=synced.revision if synced else None,
            organizations=synced.organizations if synced else 0,
            age=self._freshness.age(),
            refresher=refresher or None,
            refresher_alive=_is_running(refresher),
            is_refresher=self._refresher.is_refresher,
            backlog=self.billing.backlog(),
            problem=next(filter(None, map(conditions.get, _OBSTACLES)), None),
            conditions=MappingProxyType(conditions),
        )

    def shutdown(self, timeout: float = _EXIT_SECONDS) -> None:
        """Send what was counted, if the server takes it within `timeout` seconds, and stop the background thread.

        Checks and counts still work afterwards: a request that is not finished yet must not break.
        """
        deadline = time.monotonic() + timeout
        self._is_background = False
        if self._timekeeper is not None:
            self._timekeeper.stop(timeout)
        self._refresher.stop(max(0.0, deadline - time.monotonic()))
        self._journal.close()
        try:
            if self.billing.backlog():
                self.flush(max(0.0, deadline - time.monotonic()))
        except FluxError as error:
            self._note_unsent(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _note_unsent(self, error: FluxError) -> None:
        self._conditions.begin(
            "usage", str(error), "usage cannot be sent (%s); it is kept in the journals", error
        )

    def _in_new_process(self) -> None:
        """Do what the hooks of `fork` do, where there are none, as in uWSGI; several threads may find out at once."""
        with self._forking:
            if os.getpid() != self._journal.pid:
                self._after_fork()

    def _after_fork(self) -> None:
        self._forking = threading.Lock()
        self._store.after_fork()
        self.billing.after_fork()
        self._refresher.after_fork()
        if self._timekeeper is not None:
            self._timekeeper.after_fork()
        if self._is_background:
            self._start()


def _is_running(process: int) -> bool:
    """Say whether there is such a process; one that was killed may still be named as the refresher."""
    if not process:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _let_go(refresher: Refresher, timekeeper: Timekeeper | None, journal: Journal) -> None:
    refresher.stop()
    if timekeeper is not None:
        timekeeper.stop()
    journal.close()


class _DefaultBilling:
    """Stands for the default client's `billing`: as quick as that one, and loud before there is one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Billing, name):
            raise AttributeError(name)
        raise NotInitializedError

    def bind(self, client: Flux) -> None:
        """Answer as this client from now on, and on after its shutdown: a request may not be finished yet."""
        self.rebind({name: getattr(client.billing, name) for name in _QUESTIONS})

    def rebind(self, answers: Mapping[str, Any]) -> None:
        """Answer with these functions and no others."""
        vars(self).update(answers)  # never in between without one: another thread may be asking
        for name in vars(self).keys() - answers.keys():
            del vars(self)[name]


_QUESTIONS: Final = (
    "check",
    "entitlements",
    "explain",
    "get_limit",
    "get_usage",
    "is_entitled",
    "record_usage",
)

_default_billing = _DefaultBilling()
billing: Final = cast("Billing", _default_billing)
"""What applications ask and tell, through the client that `init` started."""

_default: Flux | None = None
_default_lock = threading.Lock()
_stand_ins: Final[list[Flux]] = []
"""Clients that tests let stand in for the default one; the last answers."""


def init(
    api_key: str | None = None,
    *,
    url: str | None = None,
    directory: str | os.PathLike[str] | None = None,
    start: bool = True,
    fallbacks: Mapping[FeatureKey, FeatureValue] | None = None,
    max_stale: float | None = None,
    when_stale: WhenStale = "deny",
) -> Flux:
    """Start the default client, or return it if it runs with just these settings. See `Flux`."""
    global _default
    if _stand_ins:
        return _stand_ins[-1]
    policies = read_policies(fallbacks, max_stale, when_stale)
    configuration = read_configuration(api_key, url, directory, os.environ, policies)
    with _default_lock:
        if _default is not None and _default.configuration == configuration:
            return _default
        if _default is not None:
            _default.shutdown()
        _default = Flux(
            api_key,
            url=url,
            directory=directory,
            start=start,
            fallbacks=fallbacks,
            max_stale=max_stale,
            when_stale=when_stale,
        )
        _default_billing.bind(_default)
        return _default


def shutdown(timeout: float = _EXIT_SECONDS) -> None:
    """Shut the default client down; `init` can start another."""
    global _default
    if _stand_ins:
        return  # tests go on with theirs
    with _default_lock:
        client, _default = _default, None
    if client is not None:
        client.shutdown(timeout)


def flush(timeout: float = 5.0) -> bool:
    """Send all usage of this host now; say whether the server acknowledged every count."""
    return _required().flush(timeout)


def status() -> Status:
    """Return how the default client is doing."""
    return _required().status()


def wait_until_ready(timeout: float = 10.0) -> bool:
    """Wait until there is something to go by; say whether there is."""
    return _required().wait_until_ready(timeout)


@contextmanager
def standing_in(client: Flux, *replaced: Flux) -> Iterator[None]:
    """Let `client` answer for the default client, and for those replaced, for the length of the block; for tests.

    It also answers whoever holds something of theirs already, such as an adapter or a method of `billing`.
    """
    bound = dict(vars(_default_billing))
    default = _stand_ins[-1] if _stand_ins else _default
    silenced = [each.billing for each in (*replaced, default) if each is not None]
    kept = [dict(vars(each)) for each in silenced]
    _stand_ins.append(client)
    _default_billing.bind(client)
    for billing_ in silenced:
        vars(billing_).update(vars(client.billing))
    try:
        yield
    finally:
        _stand_ins.remove(client)
        for billing_, state in zip(silenced, kept, strict=True):
            vars(billing_).update(state)
        _default_billing.rebind(bound)


def _required() -> Flux:
    if _stand_ins:
        return _stand_ins[-1]
    if _default is None:
        raise NotInitializedError
    return _default


def _after_fork_in_child() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    for client in list(_clients):
        client._after_fork()


def _at_exit() -> None:
    deadline = time.monotonic() + _EXIT_SECONDS
    for client in list(_clients):
        client.shutdown(max(0.0, deadline - time.monotonic()))


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
