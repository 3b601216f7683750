"""A host that knows an environment without a server: what the client's benchmarks ask."""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flux_middleware import Flux
from flux_middleware.lmdb_store import LmdbStore
from flux_middleware.snapshot import (
    SCHEMA,
    Catalog,
    Feature,
    Grant,
    Metric,
    OrganizationRecord,
    PlanVersion,
    SnapshotHeader,
    Subscription,
    SubscriptionItem,
    encode,
)

__all__ = ["organization", "running_host"]

_BATCH = 5_000
_CATALOG = Catalog(
    features=(Feature("seats", "limit"), Feature("sso", "boolean", merge="any")),
    metrics=(Metric("api-calls"),),
    plan_versions=(PlanVersion("pro@1", "pro", 1, grants=(Grant("seats", 10), Grant("sso", True))),),
)


def organization(number: int) -> str:
    """Return the id of one of the host's organizations."""
    return f"org-{number:07d}"


@contextmanager
def running_host(organizations: int) -> Iterator[Flux]:
    """Return a client whose store holds this many organizations on plan `pro`; it has no server and no thread."""
    logging.getLogger("flux").setLevel(logging.ERROR)  # that no server takes the usage is as it should be
    with tempfile.TemporaryDirectory(prefix="flux-bench-") as directory:
        client = Flux("flux_test_benchmark", directory=directory, start=False)
        try:
            _fill(client.configuration.directory, organizations)
            yield client
        finally:
            client.shutdown(timeout=0)


def _fill(directory: Path, organizations: int) -> None:
    header = SnapshotHeader(SCHEMA, "test", "benchmark", 1, _CATALOG)
    store = LmdbStore(directory / "store-1")
    records = ((organization(number), _record(number)) for number in range(organizations))
    with store.replacement(header) as replacement:
        while batch := list(itertools.islice(records, _BATCH)):
            replacement.add(batch)
        replacement.commit()


def _record(number: int) -> bytes:
    item = SubscriptionItem(f"si_{number}", "pro@1", price="price_pro")
    subscription = Subscription(f"sub_{number}", "active", (item,))
    return encode(OrganizationRecord(organization(number), subscriptions=(subscription,)))
