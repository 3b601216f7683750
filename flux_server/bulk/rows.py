"""What a file of organizations holds: a row an organization, whatever the format. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from flux_middleware.errors import InvalidOrganizationError
from flux_middleware.snapshot import Override, require_organization
from flux_server.errors import InvalidRequestError

__all__ = ["MAX_ROWS", "Duplicates", "InvalidFileError", "Refusal", "Row", "row_errors"]

MAX_ROWS: Final = 1_000
"""Rows that are imported at once."""

_MAX_NAME, _MAX_CUSTOMER, _MAX_REASON, _MAX_LIST = 255, 255, 2_000, 1_000


class InvalidFileError(InvalidRequestError):
    """A file cannot be read on, so nothing of it is done."""

    code = "invalid_file"
    title = "Invalid file"


@dataclass(frozen=True, slots=True)
class Row:
    """An organization as a file has it; what is left out is to stay as it is.

    `number` is the row that people see: a spreadsheet's, where the header is row 1, or the line of NDJSON. An
    override has an `id` only where the file names one.
    """

    number: int
    id: str
    name: str = ""
    stripe_customers: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row is not done: which of its fields is wrong, and what to do."""

    row: int
    field: str
    detail: str


@dataclass
class Duplicates:
    """Finds what a file may say once only: an organization, and whose a customer is."""

    rows: dict[str, int] = field(default_factory=dict)
    customers: dict[str, int] = field(default_factory=dict)

    def errors(self, row: Row) -> tuple[Refusal, ...]:
        """Return what the row repeats of rows before it, and remember the row if it repeats nothing."""
        found = list(self._repeated(row))
        if not found:
            self.rows[row.id] = row.number
            self.customers.update(dict.fromkeys(row.stripe_customers, row.number))
        return tuple(found)

    def _repeated(self, row: Row) -> Iterator[Refusal]:
        if row.id in self.rows:
            yield Refusal(row.number, "id", f"row {self.rows[row.id]} has the same id; leave one of them out")
        for customer in row.stripe_customers:
            if customer in self.customers:
                detail = f"row {self.customers[customer]} has the customer {customer:.100} too; leave one out"
                yield Refusal(row.number, "stripe_customers", detail)


def row_errors(row: Row) -> tuple[Refusal, ...]:
    """Return what is wrong with the row as such, whatever is stored."""
    return tuple(Refusal(row.number, name, detail) for name, detail in _wrong(row))


def _wrong(row: Row) -> Iterator[tuple[str, str]]:
    try:
        require_organization(row.id)
    except InvalidOrganizationError as error:
        yield "id", str(error)
    if len(row.name) > _MAX_NAME or "\0" in row.name:
        yield "name", f"a name has at most {_MAX_NAME} characters, and no NUL"
    if len(row.stripe_customers) > _MAX_LIST or len(row.overrides) > _MAX_LIST:
        yield "id", f"an organization has at most {_MAX_LIST} customers and overrides in a file"
    for customer in row.stripe_customers:
        if not customer.isprintable() or " " in customer or not 1 <= len(customer) <= _MAX_CUSTOMER:
            yield (
                "stripe_customers",
                f"{customer!r:.60} is no customer's id; give one like cus_NffrFeUfNV2Hib",
            )
    for override in row.overrides:
        if len(override.reason) > _MAX_REASON or "\0" in override.reason + override.author:
            name = f"override.{override.feature:.64}"
            yield name, f"a reason has at most {_MAX_REASON} characters, and no NUL"
