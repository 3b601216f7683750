from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from flux_server.errors import StartError
from flux_server.settings import Settings, prepare


def secret(settings: Settings) -> str:
    return prepare(settings).secret_key.get_secret_value()


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_PORT", "9000")
    monkeypatch.setenv("FLUX_PUBLIC_URL", "https://flux.example.com/")

    settings = Settings()

    assert (settings.port, settings.url) == (9000, "https://flux.example.com")


def test_an_argument_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_PORT", "9000")

    assert Settings(port=9001).port == 9001


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8400"), ("::1", "http://[::1]:8400"), ("flux", "http://flux:8400")],
)
def test_without_a_public_url_the_address_is_where_it_listens(host: str, url: str) -> None:
    assert Settings(host=host).url == url


def test_the_database_is_a_file_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Settings(data_dir=Path("d")).database == f"sqlite+aiosqlite:///{tmp_path}/d/flux.sqlite3"


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("port", "http", "valid integer"),
        ("port", "65536", "65535"),
        ("public_url", "flux.example.com", "https://flux.example.com"),
        ("public_url", "https://flux.example.com/?a=b", "without anything after its path"),
        ("stripe_api_base", "localhost:8420", "https://flux.example.com"),
        ("database_url", "flux.db", "sqlite\\+aiosqlite or postgresql\\+asyncpg"),
        (
            "database_url",
            "postgres://flux:hidden@db/flux",
            "begins with 'postgres'; let it begin with .*asyncpg",
        ),
        ("database_url", "postgresql://flux:hidden@db/flux", "let it begin with .*postgresql\\+asyncpg"),
        ("database_url", "postgresql+asyncpg://flux:hidden@db/flux?sslmode=require", "write ssl="),
        ("forward_interval", "0", "greater than 0"),
        ("forward_interval", "inf", "finite number"),
        ("forward_interval", "100000", "less than or equal to 86400"),
        ("heartbeat", "nan", "finite number"),
        ("heartbeat", "0.1", "greater than or equal to 0.2"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("log_format", "xml", "'console' or 'json'"),
    ],
)
def test_a_setting_that_is_wrong_says_what_would_be_right(name: str, value: str, advice: str) -> None:
    with pytest.raises(ValidationError, match=advice) as refused:
        Settings.model_validate({name: value})

    assert not any("hidden" in error["msg"] for error in refused.value.errors())


def test_the_secret_key_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "data")

    first = secret(settings)

    file = settings.data_dir / "secret.key"
    assert secret(settings) == first == file.read_text()
    assert len(first) >= 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700
    assert [found.name for found in settings.data_dir.iterdir()] == ["secret.key"]


def test_a_key_that_was_given_is_taken_and_not_written(tmp_path: Path) -> None:
    given = Settings.model_validate({"data_dir": tmp_path, "secret_key": "k" * 32})

    assert secret(given) == "k" * 32
    assert list(tmp_path.iterdir()) == []


def test_settings_never_show_the_key(tmp_path: Path) -> None:
    settings = prepare(Settings(data_dir=tmp_path))

    assert settings.secret_key.get_secret_value() not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize(
    ("content", "advice"),
    [(b"", "has 0 characters"), (b"short\n", "has 5 characters"), (b"\xff" * 40, "is not text")],
)
def test_a_key_file_that_keeps_nothing_secret_is_refused(tmp_path: Path, content: bytes, advice: str) -> None:
    (tmp_path / "secret.key").write_bytes(content)

    with pytest.raises(StartError, match=advice):
        prepare(Settings(data_dir=tmp_path))


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(StartError, match="FLUX_DATA_DIR"):
        prepare(Settings(data_dir=file))


@pytest.mark.parametrize("key", ["", "k" * 32], ids=["key-in-a-file", "key-given"])
def test_a_data_directory_that_cannot_be_written_is_refused(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "secret_key": key})
    tmp_path.chmod(0o500)
    # The kernel refuses root nothing: these answer as it would answer anybody else.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path or not mode & os.W_OK)

    with pytest.raises(StartError, match=r"(not writable|cannot be used).*FLUX_DATA_DIR"):
        prepare(settings)


def test_servers_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def start() -> str:
        together.wait(10)
        return secret(Settings(data_dir=tmp_path / "data"))

    with ThreadPoolExecutor(8) as starters:
        keys = {started.result() for started in [starters.submit(start) for _ in range(8)]}

    assert keys == {(tmp_path / "data" / "secret.key").read_text()}
    assert len(list((tmp_path / "data").iterdir())) == 1
