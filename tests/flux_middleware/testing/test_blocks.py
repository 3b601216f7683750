"""In-memory clients in the place of real ones, for just as long as they should be."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import flux
import flux.testing as kit
from flux_middleware.errors import ConfigurationError, NotInitializedError
from tests.flux_middleware.clients import KEY, client

NOWHERE = "http://127.0.0.1:1"


def sees_sso(organization: str = "acme") -> bool:
    """The application under test."""
    return flux.billing.is_entitled(organization, "sso")


@pytest.fixture(autouse=True)
def what_was_before_is_there_again() -> Iterator[None]:
    before = dict(vars(flux.billing))
    yield
    assert vars(flux.billing) == before


def assert_there_is_no_client() -> None:
    with pytest.raises(NotInitializedError):
        flux.status()
    with pytest.raises(ConfigurationError, match="no in-memory client"):
        kit.current()


def test_the_default_client_is_in_memory_within_the_block() -> None:
    with kit.in_memory() as testing:
        testing.grant("acme", "sso")
        flux.billing.record_usage("acme", "calls", 3)

        assert (sees_sso(), sees_sso("globex")) == (True, False)
        assert kit.usage("acme", "calls") == testing.usage("acme", "calls") == 3
        assert kit.current() is testing

    assert_there_is_no_client()


def test_an_application_may_start_and_stop_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUX_API_KEY", raising=False)

    with kit.in_memory() as testing:
        started = flux.init()
        ready = flux.wait_until_ready() and flux.flush() and flux.status().ready
        flux.shutdown()
        testing.grant("acme", "sso")

        assert (started, ready, sees_sso()) == (testing, True, True)


def test_it_is_restored_after_an_exception() -> None:
    with pytest.raises(RuntimeError, match="broken"), kit.in_memory():
        raise RuntimeError("broken")

    assert_there_is_no_client()


def test_blocks_nest_and_know_nothing_of_each_other() -> None:
    with kit.in_memory() as outer:
        outer.grant("acme", "sso")
        with kit.in_memory():
            inside = sees_sso()
        after = sees_sso()

    assert (inside, after) == (False, True)


def test_whoever_holds_something_of_the_default_client_asks_the_test_as_well() -> None:
    with kit.in_memory():
        held, method = flux.init(), flux.billing.is_entitled
        with kit.in_memory() as testing:
            testing.grant("acme", "sso")

            assert held.billing.is_entitled("acme", "sso")
            assert method("acme", "sso")

        assert not held.billing.is_entitled("acme", "sso")
        assert not method("acme", "sso")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[flux.Flux]:
    """The default client, as an application starts it."""
    bound = dict(vars(flux.billing))
    yield flux.init(KEY, url=NOWHERE, directory=tmp_path, start=False)
    flux.shutdown(0)
    vars(flux.billing).clear()
    vars(flux.billing).update(bound)


def test_a_real_default_client_is_left_alone(real: flux.Flux, tmp_path: Path) -> None:
    with kit.in_memory() as testing:
        testing.grant("acme", "sso")
        flux.billing.record_usage("acme", "calls", 40)
        inside = (flux.init(), real.billing.is_entitled("acme", "sso"))

    assert inside == (testing, True)
    assert flux.init(KEY, url=NOWHERE, directory=tmp_path, start=False) is real
    assert flux.billing.get_usage("acme", "calls").quantity == 0
    assert not sees_sso()


def test_a_client_of_the_applications_own_can_be_replaced(tmp_path: Path) -> None:
    with client(tmp_path, NOWHERE, start=False) as own:
        method = own.billing.is_entitled
        with kit.in_memory(replacing=own) as testing:
            testing.grant("acme", "sso")
            own.billing.record_usage("acme", "calls")

            assert own.billing.is_entitled("acme", "sso")
            assert method("acme", "sso")
            assert testing.recorded == {("acme", "calls"): 1}

        assert not own.billing.is_entitled("acme", "sso")
        assert own.billing.get_usage("acme", "calls").quantity == 0


def test_every_thread_asks_the_in_memory_client() -> None:
    with kit.in_memory() as testing, ThreadPoolExecutor(8) as threads:
        testing.grant("acme", "sso")
        answers = list(threads.map(lambda _: sees_sso(), range(100)))
        list(threads.map(lambda _: flux.billing.record_usage("acme", "calls"), range(1000)))

        assert all(answers)
        assert testing.usage("acme", "calls") == 1000


@kit.override_entitlement("acme", "sso")
def test_a_decorated_test_has_what_it_names() -> None:
    assert (sees_sso(), sees_sso("globex")) == (True, False)


@kit.in_memory()
@kit.override_entitlement("acme", "sso")
@kit.override_entitlement("acme", "seats", 5)
async def test_a_decorated_coroutine_has_it_until_it_ends() -> None:
    await asyncio.sleep(0)
    entitled = await asyncio.to_thread(sees_sso)

    assert entitled
    assert flux.billing.get_limit("acme", "seats").value == 5


def test_a_decorated_function_keeps_its_signature() -> None:
    @kit.override_entitlement("acme", "sso")
    def decorated(tmp_path: Path) -> bool:
        return sees_sso()

    assert list(inspect.signature(decorated).parameters) == ["tmp_path"]
    assert decorated(Path())
    assert_there_is_no_client()


def test_an_override_ends_with_its_block_and_what_was_before_returns() -> None:
    with kit.in_memory() as testing:
        testing.set_limit("acme", "seats", 2)
        with kit.override_entitlement("acme", "seats", 7), testing.override_entitlement("acme", "sso"):
            inside = (flux.billing.get_limit("acme", "seats").value, sees_sso())
        outside = (flux.billing.get_limit("acme", "seats").value, sees_sso())

    assert (inside, outside) == ((7, True), (2, False))


def test_an_entitlement_can_be_taken_away_for_a_while() -> None:
    with kit.in_memory() as testing:
        testing.grant("acme", "sso")
        with kit.override_entitlement("acme", "sso", False):
            inside = sees_sso()

        assert (inside, sees_sso()) == (False, True)


def test_a_plan_can_be_used_for_a_while() -> None:
    with kit.in_memory() as testing:
        testing.define_plan("pro", {"sso": True})
        testing.define_plan("basic", {"seats": 1})
        testing.subscribe("acme", "basic")
        with kit.override_plan("acme", "pro"):
            inside = (sees_sso(), flux.billing.is_entitled("acme", "seats"))
        outside = (sees_sso(), flux.billing.is_entitled("acme", "seats"))

    assert (inside, outside) == ((True, False), (False, True))


def test_a_mistaken_override_changes_nothing() -> None:
    with kit.in_memory() as testing:
        testing.define_plan("pro", {"sso": True})
        testing.subscribe("acme", "pro")

        with pytest.raises(ConfigurationError, match="no plan"), kit.override_plan("acme", "other"):
            pass

        assert sees_sso()


def test_a_block_can_be_used_again() -> None:
    block = kit.override_entitlement("acme", "sso")

    for _ in range(2):
        with block:
            assert sees_sso()
        assert_there_is_no_client()


def test_what_runs_when_the_block_is_over_cannot_be_decorated() -> None:
    def fixture() -> Iterator[None]:
        yield

    with pytest.raises(ConfigurationError, match="use `with`"):
        kit.in_memory()(fixture)
    with pytest.raises(ConfigurationError, match="a function or a method"):
        kit.in_memory()(type("Tests", (), {}))


def test_another_thread_never_finds_no_client_while_blocks_come_and_go() -> None:
    wrong: list[Exception] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                flux.billing.is_entitled("acme", "sso")
            except Exception as error:
                wrong.append(error)
                return

    with kit.in_memory():
        thread = threading.Thread(target=ask)
        thread.start()
        for _ in range(200):
            with kit.in_memory():
                pass
        over.set()
        thread.join()

    assert wrong == []
