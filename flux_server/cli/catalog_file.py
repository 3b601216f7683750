"""Files that hold a catalog document, or a mapping of prices, as TOML."""

from __future__ import annotations

import os
import secrets
import tomllib
from pathlib import Path
from typing import Any

from flux_server.catalog.document import CatalogDocument
from flux_server.catalog.document_prices import priced_by, with_replaced_prices
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.errors import InvalidDocumentError, place
from flux_server.catalog.price_references import is_portable
from flux_server.cli.running import CommandError

__all__ = ["parse_catalog", "read_catalog_file", "read_price_file", "read_text", "with_prices", "write_text"]


def read_catalog_file(path: Path) -> CatalogDocument:
    """Return the catalog that the file holds.

    Raises:
        CommandError: there is no such file, it is not TOML, or it is no catalog.
    """
    return parse_catalog(read_text(path), path)


def parse_catalog(text: str, path: Path) -> CatalogDocument:
    """Return the catalog that the text of the file at `path` is.

    Raises:
        CommandError: it is not TOML, or no catalog; everything that is wrong is named.
    """
    try:
        return read_document(_parse(text, path))
    except InvalidDocumentError as error:
        raise CommandError(*(f"{path}: {place(wrong.at)}: {wrong.detail}" for wrong in error.wrong)) from None


def read_price_file(path: Path) -> dict[str, str]:
    """Return by which price of the other account each price is to be replaced.

    Raises:
        CommandError: there is no such file, or it is something else than a table of prices.
    """
    mapping = _parse(read_text(path), path)
    for old, new in mapping.items():
        if not isinstance(new, str) or not new:
            raise CommandError(
                f'{path}: {place([old])}: write `{place([old])} = "the price to replace it by"`'
            )
    doubles = sorted({new for new in mapping.values() if list(mapping.values()).count(new) > 1})
    if doubles:
        raise CommandError(f"{path}: several prices are replaced by {', '.join(doubles)}; give each its own")
    return mapping


def with_prices(document: CatalogDocument, mapping: dict[str, str], *, keep: bool) -> CatalogDocument:
    """Return the document with other prices; `keep` those that the mapping does not name.

    Lookup keys are the same in every account.

    Raises:
        CommandError: some are not named, and not to be kept.
    """
    unnamed = sorted(price for price in priced_by(document) - mapping.keys() if not is_portable(price))
    if unnamed and not keep:
        raise CommandError(
            f"these prices are not in the mapping: {', '.join(unnamed)}; add them, or keep them with --keep-prices"
        )
    return with_replaced_prices(document, mapping)


def read_text(path: Path) -> str:
    """Return the text of the file, its ends of lines as they are.

    Raises:
        CommandError: it cannot be read.
    """
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is not UTF-8 (at byte {error.start}); save it as UTF-8") from None


def write_text(path: Path, text: str) -> None:
    """Put the text in place of the file's, whole or not at all.

    Raises:
        CommandError: it cannot be written.
    """
    target = path.resolve()  # through a link, not in its place
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        new.write_bytes(text.encode())
        if target.exists():
            new.chmod(target.stat().st_mode)
        os.replace(new, target)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        new.unlink(missing_ok=True)


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise CommandError(f"{path}: is nested too deeply") from None
