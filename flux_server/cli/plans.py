"""`flux plans`: the catalog of a server as a file, from a laptop or from CI."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import msgspec
import typer
from rich.console import Console
from typer.core import TyperGroup

from flux_server.catalog.document import CatalogDocument, document_json, document_schema
from flux_server.catalog.document_changes import Change, Difference, LeftOut, concerns_subscribers
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.errors import InvalidDocumentError, place
from flux_server.catalog.values import Existing
from flux_server.cli.catalog_changes import print_changes
from flux_server.cli.catalog_file import (
    parse_catalog,
    read_catalog_file,
    read_price_file,
    read_text,
    with_prices,
    write_text,
)
from flux_server.cli.catalog_merge import merged
from flux_server.cli.catalog_text import document_text
from flux_server.cli.running import CommandError, refusals
from flux_server.remote import DEFAULT_URL, Remote, RemoteError

__all__ = ["commands"]

DRIFT = 2


_UsageError = cast("type[Any]", typer.BadParameter.__mro__[1])
"""click's, or that of the copy of click that newer Typers bring along."""


class _Group(TyperGroup):
    """A mistake on the command line ends with 1: the 2 that it usually ends with says that there is drift."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            error.exit_code = 1
            raise


commands = typer.Typer(
    cls=_Group,
    help="Plans as code: the catalog of a server as a file. FLUX_API_KEY holds a key of the environment.",
    no_args_is_help=True,
)

Url = Annotated[str, typer.Option("--url", envvar="FLUX_URL", help="Address of the server.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The catalog, as TOML: plans.toml.")]
Prices = Annotated[
    Path | None,
    typer.Option("--prices", help='Replace prices as this TOML file says: lines like price_1 = "price_2".'),
]
KeepPrices = Annotated[
    bool, typer.Option("--keep-prices", help="Keep prices that the file given by --prices does not name.")
]


@commands.command()
def pull(
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Bring this file up to date, keeping comments, order and formatting."),
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Print the catalog that is live as TOML, or bring a file up to date with it. Needs a key of scope read."""
    with _asking(url) as remote:
        document = read_document(remote.get("/v1/catalog"))
        if file is None:
            typer.echo(document_text(document), nl=False)
        elif file.exists() and (text := read_text(file)).strip():
            write_text(file, merged(text, document, file))
        else:
            write_text(file, document_text(document))


@commands.command()
def diff(
    file: File,
    prices: Prices = None,
    keep_prices: KeepPrices = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"End with {DRIFT} if there is any difference.")
    ] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what applying the file would change. Needs a key of scope read."""
    with _asking(url) as remote:
        difference = _compare(remote, _read(file, prices, keep_prices))
        _show(difference.changes, file)
    if exit_code and difference.changes:
        raise typer.Exit(DRIFT)


@commands.command()
def apply(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    existing: Annotated[
        Existing | None,
        typer.Option(
            "--existing",
            help="Where a new version is published, or a price moves to another plan, whether subscribers keep what "
            "they have (stay) or migrate. "
            "Asked for if left out; with --yes they stay.",
        ),
    ] = None,
    prices: Prices = None,
    keep_prices: KeepPrices = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Make the catalog what the file says, after showing what that changes. Needs a key of scope admin."""
    with _asking(url) as remote:
        document = _read(file, prices, keep_prices)
        difference = _compare(remote, document)
        _show(difference.changes, file)
        if not difference.changes:
            return
        if not yes:
            existing = _ask(remote, difference.changes, existing)
        _apply(remote, document, difference, existing or "stay")


@commands.command("import-stripe")
def import_stripe(
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Add to this file, keeping comments, order and formatting."),
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Add what is sold in Stripe to the catalog as drafts: to a file, or printed. Needs a key of scope admin."""
    text = read_text(into) if into is not None and into.exists() else ""
    base = parse_catalog(text, into) if into is not None and text.strip() else None
    with _asking(url) as remote:
        sent = b"" if base is None else document_json(base)
        answer = remote.post("/v1/stripe/catalog", sent, "application/json")
        document = read_document(answer["document"])
        left_out = msgspec.convert(answer["left_out"], tuple[LeftOut, ...])
    if into is None:
        typer.echo(document_text(document), nl=False)
    else:
        write_text(into, merged(text, document, into) if base is not None else document_text(document))
        typer.echo(
            f"{into} has what is sold in Stripe. Review it; `flux plans diff {into}` shows what it changes."
        )
    for each in left_out:
        typer.echo(f"Left out: {' '.join(filter(None, (each.object, each.name)))}: {each.reason}", err=True)


@commands.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors that complete and check it."""
    typer.echo(json.dumps(document_schema(), indent=2))


@contextmanager
def _asking(url: str) -> Iterator[Remote]:
    """Ask the server; what it finds wrong is said line by line."""
    with refusals():
        try:
            with Remote(url) as remote:
                yield remote
        except RemoteError as error:
            lines = [f"{place(one['at'])}: {one['detail']}" for one in error.errors]
            raise CommandError(*lines or [str(error)]) from error
        except (InvalidDocumentError, msgspec.ValidationError) as error:
            raise CommandError(
                f"{url} answers what this command does not understand ({error}); is FLUX_URL right, and is "
                "flux here as new as there?"
            ) from error


def _read(file: Path, prices: Path | None, keep_prices: bool) -> CatalogDocument:
    document = read_catalog_file(file)
    if prices is None:
        return document
    return with_prices(document, read_price_file(prices), keep=keep_prices)


def _compare(remote: Remote, document: CatalogDocument) -> Difference:
    answer = remote.post("/v1/catalog/diff", document_json(document), "application/json")
    return msgspec.convert(answer, Difference)


def _show(changes: Sequence[Change], file: Path) -> None:
    if changes:
        print_changes(Console(highlight=False), changes)
    else:
        typer.echo(f"{file} says what is live.")


def _ask(remote: Remote, changes: Sequence[Change], existing: Existing | None) -> Existing:
    """Let somebody agree to the changes, and say what becomes of present subscribers if anything does."""
    if not sys.stdin.isatty():
        raise CommandError(
            "there is no terminal to ask on; look at the changes, then give --yes to apply them"
        )
    if existing is None and any(concerns_subscribers(change) for change in changes):
        question = "Do subscribers of plans that get a new version, or lose a price, keep what they have, or migrate?"
        existing = typer.prompt(question, default="stay", value_proc=_existing)
    noun = "this change" if len(changes) == 1 else f"these {len(changes):,} changes"
    typer.confirm(f"Apply {noun} to {remote.environment} at {remote.url}?", abort=True)
    return existing or "stay"


def _existing(answer: str) -> Existing:
    if answer not in get_args(Existing):
        raise typer.BadParameter("answer stay or migrate")
    return cast("Existing", answer)


def _apply(remote: Remote, document: CatalogDocument, difference: Difference, existing: Existing) -> None:
    try:
        remote.put("/v1/catalog", document_json(document), only_if=difference.etag, existing=existing)
    except RemoteError as error:
        if error.code == "catalog_moved":
            raise CommandError(
                "the catalog changed while you were looking, so nothing was applied; run the command again"
            ) from error
        raise
    count = len(difference.changes)
    typer.echo(f"Applied {count:,} {'change' if count == 1 else 'changes'} to {remote.environment}.")
