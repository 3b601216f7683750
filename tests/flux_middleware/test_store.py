"""One contract for every store: what is seen of a commit, what is remembered, what is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_middleware.beacon import GENERATION
from flux_middleware.catalog import Catalog, Feature
from flux_middleware.errors import StoreError
from flux_middleware.lmdb_store import LmdbStore
from flux_middleware.memory_store import MemoryStore
from flux_middleware.snapshot import (
    CatalogChanged,
    OrganizationRemoved,
    UsageStanding,
    UsageUpdate,
    encode,
)
from flux_middleware.store import LOGGED_GENERATIONS, Store
from tests.flux_middleware.hosts import CATALOG, NOON, change, fill, header, receipt, record

SOURCE = "a" * 32


@pytest.fixture(params=["lmdb", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LmdbStore(tmp_path) if request.param == "lmdb" else MemoryStore()


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store, record("acme", "sso"), record("globex"))
    return store


def standing(quantity: int, organization: str = "acme") -> UsageStanding:
    return UsageStanding(organization, "calls", NOON, quantity)


def pushed(quantity: int, usage_revision: int) -> UsageUpdate:
    return UsageUpdate(usage_revision, (standing(quantity),))


def used(store: Store, organization: str = "acme") -> UsageStanding | None:
    return store.usage(organization, "calls", [])[0]


def test_a_new_store_knows_nothing(store: Store) -> None:
    assert store.synced() is None
    assert store.catalog() == (0, None)
    assert store.organization("acme") == (0, None)
    assert store.usage("acme", "calls", [(SOURCE, 128)]) == (None, [0])


def test_a_snapshot_is_known_once_it_is_committed(filled: Store) -> None:
    synced = filled.synced()

    assert synced is not None
    assert (synced.environment, synced.instance, synced.revision) == ("test", "first", 1)
    assert synced.organizations == 2
    assert filled.catalog()[1] == CATALOG
    assert filled.organization("acme")[1] == record("acme", "sso")
    assert filled.organization("initech")[1] is None


def test_a_snapshot_on_its_way_changes_nothing(filled: Store) -> None:
    with filled.replacement(header(2, catalog=Catalog())) as replacement:
        replacement.add([("globex", encode(record("globex", "sso", revision=2)))])

        assert filled.organization("acme")[1] == record("acme", "sso")
        assert filled.organization("globex")[1] == record("globex")
        assert filled.catalog()[1] == CATALOG


def test_a_snapshot_that_was_given_up_leaves_no_trace_in_the_next(filled: Store) -> None:
    with filled.replacement(header(2)) as replacement:
        replacement.add([("initech", encode(record("initech", "sso")))])
    fill(filled, record("acme"), revision=3)

    assert filled.organization("initech")[1] is None
    assert filled.organization("globex")[1] is None
    assert filled.organization("acme")[1] == record("acme")


def test_a_snapshot_makes_everybody_forget_everything(filled: Store) -> None:
    before, _ = filled.catalog()

    fill(filled, record("acme"), revision=2)

    assert filled.changed_since(before) == (before + 1, None)


def test_changes_are_committed_together(filled: Store) -> None:
    filled.apply(
        [change("initech", "sso", revision=2), OrganizationRemoved(3, "globex")], [pushed(7, 9)], revision=3
    )

    synced = filled.synced()
    assert synced is not None
    assert (synced.revision, synced.usage_revision, synced.organizations) == (3, 9, 2)
    assert filled.organization("initech")[1] == record("initech", "sso", revision=2)
    assert filled.organization("globex")[1] is None
    assert used(filled) == standing(7)


def test_a_change_names_the_organizations_to_forget(filled: Store) -> None:
    before, _ = filled.catalog()

    filled.apply([change("acme", revision=2), OrganizationRemoved(3, "globex")])

    assert filled.changed_since(before) == (before + 1, frozenset({"acme", "globex"}))
    assert filled.changed_since(before + 1) == (before + 1, frozenset())


def test_a_change_of_the_catalog_makes_everybody_forget_everything(filled: Store) -> None:
    catalog = Catalog(features=(Feature("exports", "boolean"),))
    before, _ = filled.catalog()

    filled.apply([CatalogChanged(2, catalog), change("acme", revision=3)])

    assert filled.changed_since(before) == (before + 1, None)
    assert filled.catalog() == (before + 1, catalog)


def test_usage_alone_makes_nobody_forget_anything(filled: Store) -> None:
    before, _ = filled.catalog()

    filled.apply([], [pushed(7, 1)])
    filled.acknowledge(SOURCE, {128: 3}, receipt("acme", 8, usage_revision=2))

    assert filled.changed_since(before) == (before, frozenset())


def test_changes_need_a_snapshot_first(store: Store) -> None:
    with pytest.raises(StoreError, match="needs a snapshot"):
        store.apply([change("acme", revision=2)], revision=2)


@pytest.mark.parametrize(
    ("missed", "changed"),
    [
        pytest.param(LOGGED_GENERATIONS, frozenset({"acme"}), id="as-many-as-are-logged"),
        pytest.param(LOGGED_GENERATIONS + 1, None, id="one-too-many"),
    ],
)
def test_who_missed_too_much_forgets_everything(missed: int, changed: frozenset[str] | None) -> None:
    store = MemoryStore()
    fill(store, record("acme"))
    before, _ = store.catalog()

    for revision in range(2, 2 + missed):
        store.apply([change("acme", revision=revision)], revision=revision)

    assert store.changed_since(before) == (before + missed, changed)


def test_a_generation_that_never_was_makes_everybody_forget_everything(filled: Store) -> None:
    present, _ = filled.catalog()

    assert filled.changed_since(present + 1) == (present, None)
    assert filled.changed_since(-1) == (present, None)


def test_each_change_is_announced(filled: Store) -> None:
    before = filled.beacon.words[GENERATION]

    filled.apply([change("acme", revision=2)])

    assert filled.beacon.words[GENERATION] == before + 1 == filled.catalog()[0]


def test_an_older_push_does_not_undo_a_receipt(filled: Store) -> None:
    filled.acknowledge(SOURCE, {128: 8}, receipt("acme", 8, usage_revision=5))

    filled.apply([], [pushed(3, 4)])

    assert used(filled) == standing(8)


def test_an_older_receipt_does_not_undo_a_push(filled: Store) -> None:
    filled.apply([], [pushed(9, 6)])

    filled.acknowledge(SOURCE, {128: 8}, receipt("acme", 8, usage_revision=5))

    assert used(filled) == standing(9)


def test_a_standing_of_the_same_revision_may_be_of_another_period(filled: Store) -> None:
    filled.apply([], [pushed(9, 6)])
    moved = UsageStanding("acme", "calls", NOON + 3600, 0)

    filled.apply([], [UsageUpdate(6, (moved,))])

    assert used(filled) == moved


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99), st.booleans()), max_size=20))
def test_the_newest_standing_stays_in_whatever_order_they_come(
    arrivals: list[tuple[int, int, bool]],
) -> None:
    store = MemoryStore()
    fill(store)

    for revision, quantity, is_push in arrivals:
        if is_push:
            store.apply([], [pushed(quantity, revision)])
        else:
            store.acknowledge(SOURCE, {}, receipt("acme", quantity, usage_revision=revision))

    newest = max((revision for revision, _, _ in arrivals), default=None)
    expected = [quantity for revision, quantity, _ in arrivals if revision == newest]
    assert used(store) == (standing(expected[-1]) if expected else None)


def test_acknowledged_totals_are_kept_by_source(filled: Store) -> None:
    filled.acknowledge(SOURCE, {128: 3, 176: 4}, receipt("acme", 7, usage_revision=1))
    filled.acknowledge("b" * 32, {128: 5}, receipt("acme", 12, usage_revision=2))
    filled.acknowledge(SOURCE, {128: 6}, receipt("acme", 15, usage_revision=3))

    assert filled.acknowledged(SOURCE) == {128: 6, 176: 4}
    assert filled.usage("acme", "calls", [(SOURCE, 176), ("b" * 32, 128), (SOURCE, 999)]) == (
        standing(15),
        [4, 5, 0],
    )


def test_a_source_that_is_gone_is_forgotten_and_no_other(filled: Store) -> None:
    filled.acknowledge(SOURCE, {128: 3}, receipt("acme", 3, usage_revision=1))
    filled.acknowledge("b" * 32, {128: 5}, receipt("acme", 8, usage_revision=2))

    filled.forget_source(SOURCE)

    assert filled.acknowledged(SOURCE) == {}
    assert filled.acknowledged("b" * 32) == {128: 5}
    assert used(filled) == standing(8)


@pytest.mark.parametrize(
    ("revision", "instance"),
    [
        pytest.param(5, "second", id="database-made-anew"),
        pytest.param(1, "first", id="backup-restored"),
    ],
)
def test_another_history_acknowledged_nothing(store: Store, revision: int, instance: str) -> None:
    fill(store, revision=2)
    before = store.synced()
    store.apply([], [pushed(7, 9)])
    store.acknowledge(SOURCE, {128: 3}, receipt("acme", 7, usage_revision=9))

    fill(store, revision=revision, instance=instance)

    after = store.synced()
    assert used(store) is None
    assert store.acknowledged(SOURCE) == {}
    assert before is not None
    assert after is not None
    assert (after.usage_revision, after.history == before.history) == (0, False)


def test_another_snapshot_of_the_same_history_forgets_no_usage(filled: Store) -> None:
    before = filled.synced()
    filled.apply([], [pushed(7, 9)])
    filled.acknowledge(SOURCE, {128: 3}, receipt("acme", 7, usage_revision=9))

    fill(filled, revision=4)

    after = filled.synced()
    assert used(filled) == standing(7)
    assert filled.acknowledged(SOURCE) == {128: 3}
    assert before is not None
    assert after is not None
    assert (after.usage_revision, after.history) == (9, before.history)


@pytest.mark.parametrize("organization", ["é" * 127, "a" * 255, "🙂" * 63, "\x01", " "])
def test_any_id_of_an_organization_can_be_stored(store: Store, organization: str) -> None:
    fill(store, record(organization, "sso"))
    store.acknowledge(SOURCE, {128: 1}, receipt(organization, 1, usage_revision=1))

    assert store.organization(organization)[1] == record(organization, "sso")
    assert used(store, organization) == standing(1, organization)


def test_tending_announces_what_a_killed_writer_could_not(filled: Store) -> None:
    generation = filled.beacon.words[GENERATION]
    filled.beacon.words[GENERATION] = generation - 1

    filled.tend()

    assert filled.beacon.words[GENERATION] == generation
