"""What the sandbox's pages share: plain HTML, no JavaScript."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import Final

from flux_sandbox.ledger import Document, Ledger

__all__ = ["button", "chooser", "document", "headers", "moment", "money", "price_line", "section", "table"]

_NO_MINOR_UNIT: Final = frozenset({"clp", "jpy", "krw", "vnd"})


def headers(*, leads_to: str = "") -> dict[str, str]:
    """Return a page's headers; `leads_to` is another origin to which its forms may lead."""
    policy = (
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; "
        f"form-action 'self' {leads_to}".rstrip()
    )
    return {"Cache-Control": "no-store", "Content-Security-Policy": policy}


def document(title: str, body: str) -> str:
    """Return a whole page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="/_sandbox/page.css"></head>'
        f"<body><main>{body}</main></body></html>"
    )


def section(title: str, content: str) -> str:
    """Return a part of a page under its heading."""
    return f'<section aria-label="{title}"><h2>{title}</h2>{content}</section>'


def table(headings: tuple[str, ...], rows: Iterable[list[str]]) -> str:
    """Return a table of cells that are HTML already."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def moment(seconds: int) -> str:
    """Write a moment for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def price_line(ledger: Ledger, price: Document) -> str:
    """Say what is sold, and for how much."""
    product = ledger.find("product", price["product"])
    name = price["nickname"] or (product["name"] if product else price["product"])
    recurring = price["recurring"]
    unit = "per unit used, billed each" if recurring["usage_type"] == "metered" else "each"
    count = recurring["interval_count"]
    every = recurring["interval"] if count == 1 else f"{count} {recurring['interval']}s"
    return f"{escape(name)}: {money(Decimal(price['unit_amount_decimal']), price['currency'])} {unit} {every}"


def money(amount: Decimal | int, currency: str) -> str:
    """Write an amount for people."""
    whole = Decimal(amount)
    if currency not in _NO_MINOR_UNIT:
        whole = whole.scaleb(-2)
    return f"{whole:f} {currency.upper()}"


def button(
    path: str, label: str, *, about: str = "", danger: bool = False, hidden: Mapping[str, str] | None = None
) -> str:
    """Return a form of one button; `about` tells those who hear it alone what it is about."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in (hidden or {}).items()
    )
    spoken = f' aria-label="{escape(f"{label} {about}")}"' if about else ""
    kind = ' class="danger"' if danger else ""
    return f'<form method="post" action="{path}">{fields}<button{kind}{spoken}>{label}</button></form>'


def chooser(name: str, label: str, choices: Mapping[str, str], chosen: str) -> str:
    """Return a list to choose one of; the choices' texts are HTML already."""
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{text}</option>'
        for value, text in choices.items()
    )
    return f'<select name="{escape(name)}" aria-label="{label}">{options}</select>'
