"""How a plan says what it is sold by: by a price's id, by a lookup key, or by a product. Pure.

A price's id is meant as it is. `lookup_key:pro_monthly` is whichever price has the lookup key when somebody buys it,
and `product:prod_1` any price of the product. The most particular that a plan is sold by counts.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LOOKUP_KEY", "PRODUCT", "is_portable", "named_by", "reference_error", "references"]

LOOKUP_KEY: Final = "lookup_key:"
PRODUCT: Final = "product:"

_MOST = 255


def references(price: str, lookup_key: str | None = None, product: str | None = None) -> tuple[str, ...]:
    """Return what a plan can name to be sold by the price, the most particular first."""
    others = ((LOOKUP_KEY, lookup_key), (PRODUCT, product))
    return (price, *(kind + name for kind, name in others if name))


def reference_error(reference: str) -> str | None:
    """Say what is wrong with a reference; None if nothing is."""
    if not 1 <= len(reference) <= _MOST:
        return f"a price has 1 to {_MOST} characters, not {reference!r:.50}"
    for kind, example in ((LOOKUP_KEY, "pro_monthly"), (PRODUCT, "prod_1")):
        if reference == kind:
            return f"{reference!r} names nothing; write {kind}{example}"
    return None


def named_by(kind: str, names: list[str]) -> list[str]:
    """Return what those of the references name that are of the kind; of no kind (""), the prices' ids."""
    if kind:
        return [name.removeprefix(kind) for name in names if name.startswith(kind)]
    return [name for name in names if not name.startswith((LOOKUP_KEY, PRODUCT))]


def is_portable(reference: str) -> bool:
    """Say whether the reference means the same in every account of the payment processor."""
    return reference.startswith(LOOKUP_KEY)
