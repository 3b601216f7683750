from __future__ import annotations

from pathlib import Path

import pytest

from flux_server.cli.catalog_file import read_catalog_file, read_price_file, with_prices, write_text
from flux_server.cli.running import CommandError
from tests.flux_server.catalog.documents import SHOP, plain


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"[plans", "is not TOML: ", id="cut-off"),
        pytest.param(b'a = "x"\nb = = 1\n', r"is not TOML: .*\(at line 2, column 5\)", id="line"),
        pytest.param(b"[plans.pro]\nname = 1\nname = 2\n", r"is not TOML: .*line 3", id="twice"),
        pytest.param(b"# caf\xe9\n", r"is not UTF-8 \(at byte 5\)", id="latin-1"),
        pytest.param(b"x = " + b"[" * 5_000, "nested too deeply|is not TOML", id="deep"),
        pytest.param(b"[plan.pro]\n", "plan: there is no such field; did you mean 'plans'?", id="unknown"),
        pytest.param(b"[plans.pro]\nname = 1979-05-27\n", r"plans\.pro\.name: give a text of 0", id="date"),
        pytest.param(
            b"[plans.pro.entitlements]\nseats = inf\n", r"entitlements\.seats: give true", id="infinite"
        ),
    ],
)
def test_a_file_that_is_no_catalog_says_where(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "plans.toml"
    path.write_bytes(content)

    with pytest.raises(CommandError, match=complaint) as refused:
        read_catalog_file(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_everything_wrong_with_a_file_is_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_text('[plans.pro]\nkind = "adon"\nprice = []\n')

    with pytest.raises(CommandError) as refused:
        read_catalog_file(path)

    assert [line.removeprefix(f"{path}: plans.pro.")[:5] for line in refused.value.lines] == [
        "kind:",
        "price",
    ]


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_what_is_no_file_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match=r"cannot be read \((No such file|Is a directory)"):
        read_catalog_file(tmp_path / name)


MAPPING = {"price_month": "live_month", "price_calls": "live_calls", "price_pack": "live_pack"}


def test_prices_are_replaced_wherever_they_stand() -> None:
    live = plain(with_prices(SHOP, MAPPING, keep=False))

    assert live["plans"]["pro"]["prices"] == [{"price": "live_calls", "metric": "api-calls"}, "live_month"]
    assert live["plans"]["pack"]["prices"] == ["live_pack"]
    assert live["plans"]["pro"]["entitlements"] == plain(SHOP)["plans"]["pro"]["entitlements"]


def test_prices_without_a_replacement_are_all_named_or_kept() -> None:
    with pytest.raises(CommandError, match=r"price_calls, price_pack; add them, or .* --keep-prices"):
        with_prices(SHOP, {"price_month": "live"}, keep=False)

    kept = plain(with_prices(SHOP, {"price_month": "live"}, keep=True))
    assert kept["plans"]["pro"]["prices"] == ["live", {"price": "price_calls", "metric": "api-calls"}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("price_1 = 5\n", 'price_1: write `price_1 = "the price to', id="number"),
        pytest.param('price_1 = ""\n', "price_1: write", id="empty"),
        pytest.param('a = "x"\nb = "x"\n', "several prices are replaced by x", id="two-by-one"),
        pytest.param("[prices]\na = 1\n", "prices: write", id="table"),
    ],
)
def test_a_mapping_that_is_none_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)

    with pytest.raises(CommandError, match=complaint):
        read_price_file(path)


def test_a_file_is_replaced_whole_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_text("old")
    path.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(path)

    write_text(link, "new\r\n")

    assert path.read_bytes() == b"new\r\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.toml", "plans.toml"]


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot be written \(No such file"):
        write_text(tmp_path / "missing" / "plans.toml", "")
