"""`flux stripe link`, `status`, `unlink` and `secrets`: the link to Stripe, by way of a server."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from flux_server.cli.asking import AsJson, Url, asking, print_json, print_text, written_moment
from flux_server.remote import DEFAULT_URL

__all__ = ["link", "secrets", "status", "unlink"]

_LINK = "/v1/stripe/link"
_SECRETS = "/v1/stripe/webhook-secrets"

KeyStdin = Annotated[
    bool,
    typer.Option(
        "--key-stdin", help="Read the key from standard input, and a webhook secret from its next line."
    ),
]


def link(
    key_stdin: KeyStdin = False,
    webhook_secret: Annotated[
        bool,
        typer.Option("--webhook-secret", help="Ask for the signing secret of an endpoint of your own, too."),
    ] = False,
    metadata_key: Annotated[
        str | None,
        typer.Option("--metadata-key", help="Which metadata of a customer names the organization."),
    ] = None,
    no_endpoint: Annotated[
        bool, typer.Option("--no-endpoint", help="Make no webhook endpoint in Stripe.")
    ] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Link the environment to a Stripe account, or give the link another key. Needs a key of scope admin.

    What is pasted is not shown, and is never an argument: those are seen by everybody on the machine.
    """
    wanted: dict[str, Any] = {"api_key": _secret("Stripe key (rk_…)", key_stdin)}
    if webhook_secret:
        wanted["webhook_secret"] = _secret("Signing secret (whsec_…)", key_stdin)
    if metadata_key is not None:
        wanted["metadata_key"] = metadata_key
    if no_endpoint:
        wanted["endpoint"] = False
    with asking(url) as remote:
        _show(remote.put(_LINK, json.dumps(wanted).encode()), as_json)


def status(as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show the link, and what to see to. Needs a key of scope read."""
    with asking(url) as remote:
        _show(remote.get(_LINK), as_json)


def unlink(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, url: Url = DEFAULT_URL
) -> None:
    """End the link and forget its secrets. Needs a key of scope admin."""
    with asking(url) as remote:
        if not yes:
            typer.confirm(f"End the link of {remote.environment} at {remote.url} to Stripe?", abort=True)
        left = remote.delete(_LINK)["left"]
        print_text(Text("The link is ended."))
        if left:
            print_text(Text(f"But {left}."))


secrets = typer.Typer(help="The signing secrets that webhooks are taken by; several may be in force at once.")


@secrets.callback(invoke_without_command=True)
def show_secrets(context: typer.Context, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the secrets: of each the last four characters. Needs a key of scope read."""
    if context.invoked_subcommand is not None:
        return
    with asking(url) as remote:
        answer = remote.get(_SECRETS)
    if as_json:
        print_json(answer)
        return
    for each in answer["webhook_secrets"]:
        _show_secret(each)


@secrets.command("add")
def add_secret(
    thin: Annotated[bool, typer.Option("--thin", help="It is of a destination of thin events.")] = False,
    key_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="Read the secret from standard input.")
    ] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Take another secret from now on, and the one it replaces for a day. Needs a key of scope admin."""
    wanted = {
        "secret": _secret("Signing secret (whsec_…)", key_stdin),
        "kind": "thin" if thin else "snapshot",
    }
    with asking(url) as remote:
        _show_secret(remote.post(_SECRETS, json.dumps(wanted).encode(), "application/json"))


@secrets.command("remove")
def remove_secret(
    secret: Annotated[str, typer.Argument(help="The secret's id, as the list shows it.")],
    url: Url = DEFAULT_URL,
) -> None:
    """Take a secret no more. Needs a key of scope admin."""
    with asking(url) as remote:
        remote.delete(f"{_SECRETS}/{quote(secret, safe='')}")
    print_text(Text("It is taken no more."))


def _secret(prompt: str, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().strip()
    answer: str = typer.prompt(prompt, hide_input=True, err=True)
    return answer.strip()


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    mode = "live" if found["livemode"] else "test"
    print_text(Text(f"{found['status']}: account {found['account'] or '(unnamed)'}, {mode} mode"))
    print_text(Text(f"  key {found['api_key']}, organizations by metadata {found['metadata_key']}"))
    print_text(Text(f"  webhooks to {found['webhook_url']}, {_endpoint(found)}"))
    for each in ("paused_reason", "forwarding_paused"):
        if found[each]:
            print_text(Text(f"  {each.replace('_', ' ')}: {found[each]}", style="bold red"))
    for warning in found["warnings"]:
        print_text(Text(f"  ! {warning}", style="yellow"))


def _endpoint(found: dict[str, Any]) -> str:
    return f"by Flux's own endpoint {found['endpoint']}" if found["endpoint"] else "by an endpoint of yours"


def _show_secret(each: dict[str, Any]) -> None:
    until = f", taken until {written_moment(each['expires_at'])}" if each["expires_at"] else ""
    since = written_moment(each["added_at"])
    print_text(Text(f"{each['id']}  whsec_…{each['shown']}  {each['kind']}, since {since}{until}"))
