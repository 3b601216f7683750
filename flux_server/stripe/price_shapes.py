"""Prices, products and entitlement features as Stripe describes them: parsed once, prices put into words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from flux_server.stripe.parsing import id_of, metadata_of, shape, text, words

__all__ = [
    "StripeFeature",
    "StripePrice",
    "StripeProduct",
    "absent_price",
    "read_feature",
    "read_price",
    "read_product",
]

# https://docs.stripe.com/currencies: what has no hundredths, and what has thousandths.
_WHOLE: Final = frozenset(
    (
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    )
)
_THOUSANDTHS: Final = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


@dataclass(frozen=True, slots=True)
class StripePrice:
    """A price: what it is found by, and what it is in words, such as `12.00 EUR / month`."""

    id: str
    product: str
    description: str
    lookup_key: str | None = None
    product_name: str | None = None
    metered: bool = False
    meter: str | None = None
    active: bool = True
    recurring: bool = True


@dataclass(frozen=True, slots=True)
class StripeProduct:
    """Something that is sold, by one price or several."""

    id: str
    name: str
    description: str = ""
    active: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StripeFeature:
    """An entitlement feature, which products give; of a product, or of a customer's entitlements."""

    id: str
    lookup_key: str
    name: str = ""
    active: bool = True


@shape
def read_price(data: Mapping[str, Any]) -> StripePrice:
    """Parse a price."""
    product, terms = data.get("product"), data.get("recurring")
    return StripePrice(
        id=text(data["id"]),
        product=id_of(product) if product else "",
        description=(words(data.get("nickname")) or _description(data, terms))[:255],
        lookup_key=words(data.get("lookup_key")),
        product_name=words(product.get("name")) if isinstance(product, Mapping) else None,
        metered=(terms or {}).get("usage_type") == "metered",
        meter=(terms or {}).get("meter"),
        active=bool(data.get("active", True)),
        recurring=terms is not None,
    )


@shape
def read_product(data: Mapping[str, Any]) -> StripeProduct:
    """Parse a product."""
    return StripeProduct(
        id=text(data["id"]),
        name=words(data.get("name")) or text(data["id"]),
        description=words(data.get("description"), 2_000) or "",
        active=bool(data.get("active", not data.get("deleted"))),
        metadata=metadata_of(data),
    )


@shape
def read_feature(data: Mapping[str, Any]) -> StripeFeature:
    """Parse an entitlement feature, or what refers to one: a product's feature, or an active entitlement."""
    inner = data.get("entitlement_feature")
    found = inner if isinstance(inner, Mapping) else data
    return StripeFeature(
        id=text(data["id"]),
        lookup_key=text(found["lookup_key"]),
        name=words(found.get("name")) or "",
        active=bool(found.get("active", True)),
    )


def absent_price(price: str) -> StripePrice:
    """Return what is known of a price that Stripe does not know any more."""
    return StripePrice(price, "", "", active=False)


def _description(data: Mapping[str, Any], terms: Mapping[str, Any] | None) -> str:
    told = _amount(data)
    if terms is None:
        return told
    count, interval = int(terms.get("interval_count") or 1), terms.get("interval")
    used = " per unit used" if terms.get("usage_type") == "metered" else ""
    return f"{told}{used} / {interval}" if count == 1 else f"{told}{used} / {count} {interval}s"


def _amount(data: Mapping[str, Any]) -> str:
    currency = str(data.get("currency") or "")
    amount = data.get("unit_amount_decimal") or data.get("unit_amount")
    if amount is None:
        return f"{data.get('billing_scheme') or 'other'} price in {currency.upper()}".strip()
    places = 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2
    value = Decimal(str(amount)).scaleb(-places)
    shown = round(value, places)
    return f"{shown if shown == value else value.normalize():f} {currency.upper()}".strip()
