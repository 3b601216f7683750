"""`flux plans` as people run it: a process that talks to a running server."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flux_server.cli.catalog_file import parse_catalog
from flux_server.cli.catalog_text import document_text
from tests.flux_server.catalog.documents import SHOP, edited, plain
from tests.flux_server.cli.desk import COMMAND, Desk, live
from tests.flux_server.cli.toml import HAND_WRITTEN
from tests.flux_server.organizations.test_catalog_documents import subscribe

MORE = edited(SHOP, "plans", "pro", "entitlements", "seats", to=9)


def test_what_is_pulled_is_what_is_live(shop: Desk) -> None:
    pulled = shop.run("pull")

    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert pulled.stdout == document_text(SHOP)
    assert shop.run("diff", "plans.toml", "--exit-code").returncode == 0


def test_a_pull_into_a_file_keeps_what_people_wrote(shop: Desk) -> None:
    shop.file.write_text(HAND_WRITTEN)

    assert shop.run("pull", "--file", "plans.toml").returncode == 0

    text = shop.file.read_text()
    assert parse_catalog(text, shop.file) == SHOP
    for comment in ("Ask Ada", "most popular", "49 EUR", "# inline", "# the end", "#:schema"):
        assert comment in text


def test_a_pull_makes_the_file_if_there_is_none(shop: Desk) -> None:
    shop.file.unlink()

    assert shop.run("pull", "--file", "plans.toml").returncode == 0
    assert shop.file.read_text() == document_text(SHOP)


def test_a_difference_is_drift_only_if_it_was_asked_for(shop: Desk) -> None:
    shop.write(MORE)

    shown = shop.run("diff", "plans.toml")
    asked = shop.run("diff", "plans.toml", "--exit-code")

    assert (shown.returncode, asked.returncode) == (0, 2)
    assert shown.stdout == asked.stdout
    assert shown.stdout.splitlines() == [
        "~ plan pro: publish version 2 (0 organizations subscribe)",
        "    ~ entitlements.seats: { value = 5, per_unit = true } -> 9",
    ]
    assert live(shop) == SHOP, "nothing was written"


def test_no_difference_is_said(shop: Desk) -> None:
    assert shop.run("diff", "plans.toml").stdout == "plans.toml says what is live.\n"


def test_applying_makes_the_catalog_what_the_file_says(shop: Desk) -> None:
    shop.write(MORE)

    first, second = (shop.run("apply", "plans.toml", "--yes") for _ in range(2))

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines()[0].startswith("~ plan pro: publish version 2")
    assert first.stdout.splitlines()[-1] == "Applied 1 change to test."
    assert second.stdout == "plans.toml says what is live.\n"
    assert live(shop) == MORE


@pytest.mark.parametrize(
    ("arguments", "answers", "replaced_by"),
    [
        pytest.param((), "migrate\ny\n", "pro@2", id="asked-to-migrate"),
        pytest.param((), "\ny\n", None, id="asked-to-stay"),
        pytest.param((), "move\nmigrate\ny\n", "pro@2", id="asked-twice"),
        pytest.param(("--existing", "migrate"), "y\n", "pro@2", id="told-to-migrate"),
        pytest.param(("--yes",), "", None, id="not-asked"),
        pytest.param(("--yes", "--existing", "migrate"), "", "pro@2", id="told-and-not-asked"),
    ],
)
def test_subscribers_stay_or_migrate_as_somebody_says(
    shop: Desk, arguments: tuple[str, ...], answers: str, replaced_by: str | None
) -> None:
    shop.server.run(subscribe(shop.server.database, "acme", "price_month"))
    shop.write(MORE)

    code, shown = shop.type("apply", "plans.toml", *arguments, answers=answers)

    assert (code, "1 organization subscribes" in shown) == (0, True)
    with shop.server.client("read") as reader:
        versions = reader.get("/v1/plans/pro").json()["versions"]
    assert [version["replaced_by"] for version in versions] == [replaced_by, None]


def test_who_does_not_agree_changes_nothing(shop: Desk) -> None:
    shop.write(edited(SHOP, "plans", "pro", "name", to="Max"))

    code, shown = shop.type("apply", "plans.toml", answers="n\n")

    assert code == 1
    assert f"Apply this change to test at {shop.server.url}?" in shown
    assert live(shop) == SHOP


def test_without_a_terminal_nobody_agreed(shop: Desk) -> None:
    shop.write(MORE)

    refused = shop.run("apply", "plans.toml")

    assert refused.returncode == 1
    assert refused.stdout.startswith("~ plan pro"), "the changes are shown all the same"
    assert refused.stderr == (
        "flux: there is no terminal to ask on; look at the changes, then give --yes to apply them\n"
    )
    assert live(shop) == SHOP


def test_what_moved_while_somebody_was_looking_is_left_alone(shop: Desk) -> None:
    shop.write(MORE)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "apply", "plans.toml"],
        cwd=shop.directory,
        env=shop.surroundings({}),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    assert process.stdout is not None
    assert b"publish version 2" in process.stdout.readline()
    with shop.server.client("admin") as admin:
        admin.put("/v1/plans/pro", json={"name": "Moved"}).raise_for_status()

    os.write(ours, b"y\n")
    _, complaint = process.communicate(timeout=60)
    os.close(ours)

    assert process.returncode == 1
    assert b"nothing was applied; run the command again" in complaint
    assert live(shop).plans["pro"].name == "Moved"


def test_a_catalog_is_copied_to_another_environment_with_its_prices(shop: Desk) -> None:
    mapping = {"price_month": "live_1", "price_calls": "live_2", "price_pack": "live_3"}
    (shop.directory / "prices.toml").write_text("".join(f'{old} = "{new}"\n' for old, new in mapping.items()))
    to_live = {"FLUX_API_KEY": shop.server.make_key("admin", "live")}
    command = ("plans.toml", "--prices", "prices.toml")
    shop.file.write_text(shop.run("pull").stdout)

    applied = shop.run("apply", *command, "--yes", **to_live)

    assert applied.stdout.splitlines()[-1] == "Applied 11 changes to live."
    assert shop.run("diff", *command, "--exit-code", **to_live).returncode == 0
    copied = plain(live(shop, "live"))
    assert copied["plans"]["pack"]["prices"] == ["live_3"]
    assert copied["features"] == plain(SHOP)["features"]


def test_a_copy_names_the_prices_that_it_would_not_replace(shop: Desk) -> None:
    (shop.directory / "prices.toml").write_text('price_month = "live_1"\n')
    command = ("diff", "plans.toml", "--prices", "prices.toml")

    refused = shop.run(*command)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "price_calls, price_pack; add them" in refused.stderr
    assert shop.run(*command, "--keep-prices").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "env", "text", "complaint"),
    [
        pytest.param(("diff", "none.toml"), {}, "", "none.toml: cannot be read (No such file", id="no-file"),
        pytest.param(("diff", "plans.toml"), {}, "[plans", "plans.toml: is not TOML: ", id="not-toml"),
        pytest.param(
            ("apply", "plans.toml", "--yes"),
            {},
            "[plans.pro]\nnmae = 1\n",
            "plans.toml: plans.pro.nmae: there is no such field; did you mean 'name'?",
            id="unknown-field",
        ),
        pytest.param(
            ("diff", "plans.toml"),
            {},
            'default_plan = "pro"\n',
            "default_plan: the document has no plan 'pro'",
            id="contradiction",
        ),
        pytest.param(("pull",), {"FLUX_API_KEY": ""}, "", "set FLUX_API_KEY to an API key", id="no-key"),
        pytest.param(
            ("pull",), {"FLUX_API_KEY": "flux_test_x"}, "", "this API key is unknown or", id="wrong-key"
        ),
        pytest.param(("pull",), {"FLUX_URL": "http://127.0.0.1:9"}, "", "cannot be reached", id="no-server"),
        pytest.param(("pull",), {"FLUX_URL": "flux.example"}, "", "FLUX_URL", id="no-address"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    desk: Desk, arguments: tuple[str, ...], env: dict[str, str], text: str, complaint: str
) -> None:
    desk.file.write_text(text)

    refused = desk.run(*arguments, **env)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("flux: ")
    assert complaint in refused.stderr
    assert refused.stderr.count("\n") == 1


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with JSON of its own."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"coffee": true}')

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("arguments", [("pull",), ("diff", "plans.toml")])
def test_another_server_is_not_understood(desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.write(SHOP)
    with HTTPServer(("127.0.0.1", 0), Stranger) as stranger, ThreadPoolExecutor(1) as thread:
        thread.submit(stranger.handle_request)
        refused = desk.run(*arguments, FLUX_URL=f"http://127.0.0.1:{stranger.server_port}")

    assert refused.returncode == 1
    assert re.fullmatch(r"flux: http://\S+ answers what this .*; is FLUX_URL right.*\n", refused.stderr)


def test_a_key_that_may_only_read_pulls_and_compares_and_does_not_apply(shop: Desk) -> None:
    shop.env["FLUX_API_KEY"] = shop.server.make_key("read")
    shop.write(MORE)

    assert shop.run("pull").returncode == 0
    assert shop.run("diff", "plans.toml", "--exit-code").returncode == 2
    refused = shop.run("apply", "plans.toml", "--yes")

    assert refused.returncode == 1
    assert "needs an API key with scope 'admin', not 'read'" in refused.stderr
    assert live(shop) == SHOP


def test_a_mistake_on_the_command_line_is_not_taken_for_drift(desk: Desk) -> None:
    mistaken = desk.run("diff", "--exit-cod", "plans.toml")

    assert mistaken.returncode == 1
    assert "--exit-code" in mistaken.stderr


def test_colours_are_for_terminals_that_want_them(shop: Desk) -> None:
    shop.write(MORE)

    _, coloured = shop.type("diff", "plans.toml")
    _, plain_text = shop.type("diff", "plans.toml", NO_COLOR="1")
    piped = shop.run("diff", "plans.toml").stdout

    assert "\x1b[33m~ plan pro" in coloured
    assert piped == plain_text == re.sub(r"\x1b\[\d+m", "", coloured)
