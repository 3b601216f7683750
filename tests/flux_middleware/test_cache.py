"""What a process has decoded: exactly what the store says now, and no more of it than fits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given

from flux_middleware.cache import Cache
from flux_middleware.catalog import UNLIMITED, Catalog, Feature
from flux_middleware.conditions import Conditions
from flux_middleware.entitlements import resolve
from flux_middleware.errors import InvalidOrganizationError, StoreError
from flux_middleware.lmdb_store import LmdbStore
from flux_middleware.memory_store import MemoryStore
from flux_middleware.snapshot import (
    CatalogChanged,
    OrganizationRecord,
    OrganizationRemoved,
    Override,
    encode,
)
from flux_middleware.store import LOGGED_GENERATIONS, Store
from tests.flux_middleware.hosts import NOON, change, fill, header, record
from tests.flux_middleware.worlds import catalogs, moments, records


class Clock:
    def __init__(self) -> None:
        self.now = float(NOON)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    fill(store, record("acme", "sso"), record("globex", seats=5))
    return store


@pytest.fixture
def cache(store: MemoryStore, clock: Clock) -> Cache:
    return cache_of(store, clock)


def cache_of(store: Store, clock: Clock | None = None, capacity: int = 100) -> Cache:
    return Cache(store, clock=clock or Clock(), conditions=Conditions(), capacity=capacity)


def has_sso(cache: Cache, organization: str = "acme") -> bool:
    return cache.find(organization).entitled["sso"]


def test_every_feature_of_the_catalog_is_answered(cache: Cache) -> None:
    assert cache.find("acme").entitled == {"sso": True, "audit-logs": False, "seats": False}
    assert cache.find("globex").entitled == {"sso": False, "audit-logs": False, "seats": True}
    assert {key: limit.value for key, limit in cache.find("globex").limits.items()} == {
        "sso": 0,
        "audit-logs": 0,
        "seats": 5,
    }
    assert cache.find("acme").limits["sso"].value is UNLIMITED


@given(catalogs(), records(), moments)
def test_the_answers_are_those_of_the_rules(catalog: Catalog, acme: OrganizationRecord, moment: int) -> None:
    store, clock = MemoryStore(), Clock()
    clock.now = moment
    with store.replacement(header(1, catalog=catalog)) as replacement:
        replacement.add([("acme", encode(acme))])
        replacement.commit()

    known = cache_of(store, clock).find("acme")

    granted = {key: each.value for key, each in resolve(catalog, acme, moment).by_feature.items()}
    assert known.entitled == {key: granted.get(key, 0) > 0 for key in catalog.feature_by_key}
    for feature in catalog.features:
        limit, value = known.limits[feature.key].value, granted.get(feature.key, 0)
        assert limit == ((UNLIMITED if value else 0) if feature.kind == "boolean" else value)


def test_an_organization_that_nobody_heard_of_has_what_the_default_plan_gives(cache: Cache) -> None:
    assert cache.find("initech").entitled == {"sso": False, "audit-logs": False, "seats": False}


def test_nothing_is_decoded_twice(cache: Cache) -> None:
    assert cache.find("acme") is cache.find("acme")


def test_a_change_is_answered_at_once(cache: Cache, store: MemoryStore) -> None:
    assert has_sso(cache)

    store.apply([change("acme", revision=2)], revision=2)

    assert not has_sso(cache)


def test_a_removed_organization_is_forgotten(cache: Cache, store: MemoryStore) -> None:
    assert has_sso(cache)

    store.apply([OrganizationRemoved(2, "acme")], revision=2)

    assert not has_sso(cache)


def test_a_change_leaves_others_decoded(cache: Cache, store: MemoryStore) -> None:
    acme, globex = cache.find("acme"), cache.find("globex")

    store.apply([change("acme", revision=2)], revision=2)

    assert cache.find("globex") is globex
    assert cache.find("acme") is not acme


def test_a_changed_catalog_is_answered_at_once(cache: Cache, store: MemoryStore) -> None:
    assert has_sso(cache)

    store.apply([CatalogChanged(2, Catalog(features=(Feature("exports", "boolean"),)))], revision=2)

    assert cache.find("acme").entitled == {"exports": False}


def test_who_missed_more_than_is_logged_answers_right_all_the_same(cache: Cache, store: MemoryStore) -> None:
    assert has_sso(cache)

    store.apply([change("acme", revision=2)], revision=2)
    for revision in range(3, 4 + LOGGED_GENERATIONS):
        store.apply([change("globex", revision=revision)], revision=revision)

    assert not has_sso(cache)


def test_a_record_and_its_catalog_are_of_the_same_moment(tmp_path: Path) -> None:
    """The change is announced only after both can be read: a record that is newer than the catalog brings it."""
    store = LmdbStore(tmp_path)
    fill(store, record("acme"))
    cache = cache_of(store)
    cache.find("acme")
    seen = store.beacon.words[0]
    exports = record("globex", "exports", revision=2)
    with store.replacement(header(2, catalog=Catalog(features=(Feature("exports", "boolean"),)))) as snapshot:
        snapshot.add([("globex", encode(exports))])
        snapshot.commit()
    store.beacon.words[0] = seen

    assert cache.find("globex").entitled == {"exports": True}


def test_a_right_that_ends_ends_at_its_moment_with_nobody_asked(
    cache: Cache, store: MemoryStore, clock: Clock
) -> None:
    fill(store, record("acme", "sso", until=NOON + 60), revision=2)
    assert has_sso(cache)

    clock.now = NOON + 59.9
    before = has_sso(cache)
    clock.now = NOON + 60

    assert before
    assert not has_sso(cache)


def test_a_right_that_ends_ends_even_if_the_store_fails(
    cache: Cache, store: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, record("acme", "sso", "audit-logs", until=NOON + 60), revision=2)
    assert has_sso(cache)

    fail(store, monkeypatch)
    store.beacon.words[0] += 1
    during = has_sso(cache)
    clock.now = NOON + 60

    assert during
    assert not has_sso(cache)


def fail(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise StoreError("the local store fails")

    for name in ("changed_since", "organization", "catalog"):
        monkeypatch.setattr(store, name, refuse)


def test_a_store_that_fails_is_logged_once_and_when_it_works_again(
    cache: Cache, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "flux")

    with monkeypatch.context() as failing:
        fail(store, failing)
        assert not cache.find("acme").entitled
        assert not cache.find("globex").entitled

    assert has_sso(cache)
    assert caplog.messages == ["the local store fails", "the local store can be read again"]


def test_a_failure_to_read_the_new_catalog_keeps_the_old_answers(
    cache: Cache, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert has_sso(cache)
    fill(store, record("acme"), revision=2)

    def refuse() -> None:
        raise StoreError("the local store fails")

    with monkeypatch.context() as failing:
        failing.setattr(store, "catalog", refuse)
        assert has_sso(cache)

    assert not has_sso(cache)


def test_memory_is_bounded_however_many_organizations_ask(store: MemoryStore) -> None:
    cache = cache_of(store, capacity=10)

    for number in range(1_000):
        cache.find(f"organization-{number}")

    assert len(cache.known) <= 10
    assert len(cache._older) <= 10


def test_who_asks_often_stays_decoded(store: MemoryStore) -> None:
    cache = cache_of(store, capacity=10)
    acme = cache.find("acme")

    for number in range(100):
        cache.find(f"organization-{number}")
        assert cache.find("acme") is acme


def test_a_change_reaches_who_asks_seldom(store: MemoryStore) -> None:
    cache = cache_of(store, capacity=2)
    assert has_sso(cache)
    cache.find("globex")
    cache.find("initech")  # acme is among the older ones now

    store.apply([change("acme", revision=2)], revision=2)

    assert not has_sso(cache)


def test_memory_of_answers_is_bounded_however_many_kinds_there_are(store: MemoryStore) -> None:
    cache = cache_of(store, capacity=10)
    fill(store, *(record(f"o{number}", seats=number) for number in range(100)), revision=2)

    limits = [cache.find(f"o{number}").limits["seats"].value for number in range(100)]

    assert limits == list(range(100))
    assert len(cache._answers) <= 10


def test_organizations_with_the_same_rights_share_their_answers(store: MemoryStore) -> None:
    cache = cache_of(store)
    fill(store, record("a", "sso"), record("b", "sso"), record("c"), revision=2)

    assert cache.find("a").entitled is cache.find("b").entitled
    assert cache.find("a").entitled is not cache.find("c").entitled


def test_a_limit_of_one_is_not_taken_for_a_capability(store: MemoryStore) -> None:
    """`True` and 1 are the same key of a dictionary."""
    odd = OrganizationRecord("odd", overrides=(Override("o", "seats", "set", True),))
    fill(store, odd, record("one", seats=1), record("none"), revision=2)
    cache = cache_of(store)

    limits = [cache.find(organization).limits["seats"].value for organization in ("odd", "one", "none")]

    assert [(limit, type(limit)) for limit in limits[1:]] == [(1, int), (0, int)]
    assert limits[0] is not UNLIMITED


@pytest.mark.parametrize(
    "organization", ["", "a" * 256, "é" * 128, "a\0b", "\ud800", None, 7, b"acme", ["acme"]]
)
def test_what_is_no_organizations_id_is_refused(cache: Cache, organization: str) -> None:
    with pytest.raises(InvalidOrganizationError, match="1 to 255 bytes"):
        cache.find(organization)


def test_threads_that_ask_while_everything_changes_are_answered_right(store: MemoryStore) -> None:
    cache = cache_of(store, capacity=5)
    done = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        while not done.is_set():
            for number in range(20):
                seats = cache.find(f"o{number}").limits["seats"].value
                if seats % 20 != number:
                    wrong.append((number, seats))

    def records(round_: int) -> list[OrganizationRecord]:
        return [record(f"o{number}", seats=number + 20 * round_) for number in range(20)]

    fill(store, *records(0), revision=2)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_ in range(1, 60):
        fill(store, *records(round_), revision=2 + round_)
    done.set()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert [cache.find(f"o{number}").limits["seats"].value for number in range(20)] == [
        number + 20 * 59 for number in range(20)
    ]
