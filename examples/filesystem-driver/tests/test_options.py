"""What people may write to get this driver, and what they are told when it cannot work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import asynctasq
from asynctasq.errors import ConfigurationError, UnsupportedByDriver
from asynctasq.ports import EnqueueStatus, Message
from asynctasq_filesystem import FilesystemDriver, filesystem


def test_it_is_found_by_its_name_once_it_is_installed(tmp_path: Path) -> None:
    app = asynctasq.init({"driver": "filesystem", "drivers": {"filesystem": {"path": str(tmp_path), "fsync": False}}})
    driver = app.drivers.get()
    assert isinstance(driver, FilesystemDriver)
    assert (driver.location, driver._fsync) == (str(tmp_path), False)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("filesystem:///queues/here", "queues/here"),
        ("filesystem:////var/lib/shop", "/var/lib/shop"),
        ("filesystem:////a%20b", "/a b"),
        ("filesystem://", ".asynctasq/queues"),
    ],
)
def test_a_url_names_the_folder(url: str, folder: str) -> None:
    assert asynctasq.init(url).drivers.get().location == os.path.abspath(folder)


@pytest.mark.parametrize("url", ["filesystem://queues", "filesystem:///queues?fsync=no", "filesystem:///queues#1"])
def test_a_url_with_anything_else_in_it_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write filesystem:///relative/folder"):
        filesystem(url=url)


def test_a_folder_is_named_once() -> None:
    with pytest.raises(ConfigurationError, match="keep one"):
        filesystem(url="filesystem:///a", path=Path("b"))


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"drivers\.filesystem\.fsnyc.*did you mean drivers\.filesystem\.fsync"
    ):
        asynctasq.init({"driver": "filesystem", "drivers": {"filesystem": {"fsnyc": False}}})


def _a_file(folder: Path) -> None:
    folder.write_text("")


def _another_version(folder: Path) -> None:
    (folder / "queues").mkdir(parents=True)
    (folder / "format").write_text("asynctasq-filesystem 9\n")


def _letters_of_any_case(folder: Path) -> None:
    (folder / "queues").mkdir(parents=True)
    (folder / "FORMAT").write_text("what such a file system would have answered")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_a_file, "cannot be used as a queue's folder"),
        (_another_version, "another version"),
        (_letters_of_any_case, "takes 'a' for 'A'"),
    ],
)
@pytest.mark.asyncio
async def test_a_folder_that_can_never_be_used_is_refused_at_connect(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / "queue")
    with pytest.raises(ConfigurationError, match=said):
        await FilesystemDriver(tmp_path / "queue").connect()


@pytest.mark.asyncio
async def test_nobody_else_can_read_what_is_stored(tmp_path: Path) -> None:
    driver = FilesystemDriver(tmp_path / "mine")
    await driver.connect()
    await driver.enqueue([Message(id="1", queue="q", body=b"private")])
    await driver.close()
    modes = {
        path.name: path.stat().st_mode & 0o077
        for path in [tmp_path / "mine", *(tmp_path / "mine" / "queues").rglob("*")]
    }
    assert set(modes.values()) == {0}, modes


@pytest.mark.asyncio
async def test_an_id_that_no_file_could_be_called_by_fails_its_message_alone(tmp_path: Path) -> None:
    driver = FilesystemDriver(tmp_path)
    await driver.connect()
    odd = "../a,b/ü\n"
    answers = await driver.enqueue([Message(id="x" * 129, queue="q", body=b""), Message(id=odd, queue="q", body=b"")])
    claims = await driver.claim(["q"], limit=9, lease=9, wait=0, worker="w")
    await driver.close()
    assert answers[0].status is EnqueueStatus.FAILED
    assert isinstance(answers[0].error, UnsupportedByDriver)
    assert [claim.message.id for claim in claims] == [odd]
