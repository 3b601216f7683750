"""What a row of a file means for what is stored: what it adds or changes, or why it is refused. Pure.

A file says what is to be there, never what is not: what it leaves out stays. So importing it again changes
nothing, and an interrupted import is finished by starting it over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from flux_middleware.snapshot import Feature, Override
from flux_server.bulk.rows import Refusal, Row
from flux_server.organizations.overrides import override_error

__all__ = ["Change", "Stored", "judge"]


@dataclass(frozen=True, slots=True)
class Stored:
    """What there is of a file's organizations, customers and features.

    `names` and `overrides` are by organization, `owners` by customer.
    """

    names: Mapping[str, str]
    overrides: Mapping[str, tuple[Override, ...]]
    owners: Mapping[str, str | None]
    features: Mapping[str, Feature]


@dataclass(frozen=True, slots=True)
class Change:
    """What a row does; nothing, if everything is as it says already."""

    organization: str
    is_new: bool = False
    name: str | None = None
    customers: tuple[str, ...] = ()
    new_overrides: tuple[Override, ...] = ()
    changed_overrides: tuple[Override, ...] = ()
    errors: tuple[Refusal, ...] = field(default=())

    @property
    def is_nothing(self) -> bool:
        """Say whether there is nothing to do."""
        return not (
            self.is_new or self.name or self.customers or self.new_overrides or self.changed_overrides
        )


def judge(row: Row, stored: Stored, *, author: str, new_id: Callable[[], str], now: float) -> Change:
    """Return what the row does, with `errors` if it is refused. Overrides without an author are `author`'s."""
    kept = list(stored.overrides.get(row.id, ()))
    new: list[Override] = []
    changed: list[Override] = []
    for given, match in _matched(row.overrides, kept, now):
        if match is None:
            new.append(msgspec.structs.replace(given, id=new_id(), author=given.author or author))
        elif not _says(match, given):
            changed.append(_merged(match, given))
    is_new = row.id not in stored.names
    return Change(
        organization=row.id,
        is_new=is_new,
        name=row.name if is_new or row.name not in ("", stored.names[row.id]) else None,
        customers=tuple(name for name in row.stripe_customers if stored.owners.get(name) is None),
        new_overrides=tuple(new),
        changed_overrides=tuple(changed),
        errors=(*_customer_errors(row, stored), *_override_errors(row, [*new, *changed], stored, now)),
    )


def _matched(
    given: Iterable[Override], kept: list[Override], now: float
) -> Iterator[tuple[Override, Override | None]]:
    """Yield each override of a row with the stored one that it is, which no other can be."""
    for override in given:
        match = _match(override, kept, now)
        if match is not None:
            kept.remove(match)
        yield override, match


def _match(given: Override, kept: list[Override], now: float) -> Override | None:
    if given.id:
        same = [each for each in kept if each.id == given.id]
        if same:
            return same[0]
    alike = [each for each in kept if _identity(each) == _identity(given)]
    # One that is over was another exception, and stays in the record as what it was.
    lasting = [each for each in alike if each.until is None or each.until > now]
    return next((each for each in alike if _says(each, given)), lasting[0] if lasting else None)


def _identity(override: Override) -> tuple[str, str, str]:
    # Spreadsheets and mail programs change white space.
    return override.feature, override.effect, " ".join(override.reason.split())


def _says(kept: Override, given: Override) -> bool:
    return _merged(kept, given) == kept


def _merged(kept: Override, given: Override) -> Override:
    """Return the stored override as the file has it; an author and white space are kept where it says nothing else."""
    return msgspec.structs.replace(
        given,
        id=kept.id,
        author=given.author or kept.author,
        reason=kept.reason if _identity(kept) == _identity(given) else given.reason,
    )


def _customer_errors(row: Row, stored: Stored) -> Iterator[Refusal]:
    for customer in row.stripe_customers:
        owner = stored.owners.get(customer)
        if owner not in (None, row.id):
            detail = (
                f"customer {customer:.100} is organization {owner!r:.200}; if it is to be this one, say so with "
                f"PUT /v1/stripe/customers/{customer:.100}, for what it pays moves along"
            )
            yield Refusal(row.number, "stripe_customers", detail)


def _override_errors(
    row: Row, overrides: Iterable[Override], stored: Stored, now: float
) -> Iterator[Refusal]:
    for override in overrides:
        feature = stored.features.get(override.feature)
        detail: str | None = "there is no such feature; define it first, or leave the override out"
        if feature is not None:
            detail = override_error(feature, override, now)
        if detail is not None:
            yield Refusal(row.number, f"override.{override.feature:.64}", detail)
