"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flux_middleware.configuration import DEFAULT_URL, read_configuration
from flux_middleware.errors import ConfigurationError
from tests.flux_middleware.clients import KEY


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"FLUX_API_KEY": KEY, "FLUX_URL": "https://flux.example/", "FLUX_DIRECTORY": str(tmp_path)}

    configuration = read_configuration(None, None, None, environ)

    assert (configuration.api_key, configuration.environment) == (KEY, "test")
    assert configuration.url == "https://flux.example"
    assert configuration.directory.parent == tmp_path
    assert configuration.directory.stat().st_mode & 0o777 == 0o700


def test_arguments_go_before_the_environment(tmp_path: Path) -> None:
    environ = {"FLUX_API_KEY": "flux_live_0123456789", "FLUX_URL": "http://b.example", "FLUX_DIRECTORY": "/b"}

    configuration = read_configuration(KEY, "http://a.example", tmp_path, environ)

    assert (configuration.environment, configuration.url) == ("test", "http://a.example")


def test_without_an_address_the_server_is_here(tmp_path: Path) -> None:
    assert read_configuration(KEY, None, tmp_path, {}).url == DEFAULT_URL


def test_each_server_and_environment_has_a_directory_of_its_own(tmp_path: Path) -> None:
    directories = {
        read_configuration(key, url, tmp_path, {}).directory
        for key in (KEY, "flux_live_0123456789")
        for url in ("http://a.example", "http://b.example")
    }

    assert len(directories) == 4


@pytest.mark.parametrize(
    ("key", "url", "message"),
    [
        pytest.param(None, None, "set FLUX_API_KEY", id="no-key"),
        pytest.param(
            "sk_live_123", None, "looks like flux_<environment>_<secret>", id="another-product's-key"
        ),
        pytest.param("flux_test_\n12345678", None, "malformed", id="line-break"),
        pytest.param(KEY, "flux.example", "FLUX_URL is the http", id="no-scheme"),
        pytest.param(KEY, "ftp://flux.example", "FLUX_URL is the http", id="other-scheme"),
        pytest.param(KEY, "http://", "FLUX_URL is the http", id="no-host"),
        pytest.param(KEY, "http://flux.example:port", "FLUX_URL is the http", id="no-port"),
    ],
)
def test_a_wrong_setting_says_what_is_right(
    key: str | None, url: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        read_configuration(key, url, tmp_path, {})

    assert key is None or key not in str(raised.value)


def test_a_key_is_not_printed(tmp_path: Path) -> None:
    assert KEY not in repr(read_configuration(KEY, None, tmp_path, {}))


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    made = read_configuration(KEY, None, tmp_path, {}).directory
    made.rmdir()
    made.symlink_to(target)

    with pytest.raises(ConfigurationError, match="set FLUX_DIRECTORY to a directory of this user's"):
        read_configuration(KEY, None, tmp_path, {})


def test_a_home_that_cannot_be_written_to_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    directory = read_configuration(KEY, None, None, {"HOME": str(tmp_path / "file")}).directory

    assert directory.parent == tmp_path / f"flux-{os.getuid()}"
