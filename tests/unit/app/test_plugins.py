"""Drivers that other packages bring: found by name, and given the options that their own parameters name."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asynctasq.app import bootstrap
from asynctasq.app.bootstrap import App
from asynctasq.app.cli import main
from asynctasq.app.resolvers import Resolvers
from asynctasq.app.settings import load_settings
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.errors import ConfigurationError, UnknownDriver

PACKAGE = """
from pathlib import Path
from asynctasq.drivers.memory_driver import MemoryDriver

class Pigeon(MemoryDriver):
    def __init__(self, **options):
        super().__init__()
        self.options = options

def carrier(*, url: str | None = None, loft: Path = Path("loft"), birds: int = 1, trained: bool = True, password: str = ""):
    return Pigeon(url=url, loft=loft, birds=birds, trained=trained, password=password)

def picky(*, ring: int):
    return Pigeon(ring=ring)

def easy(**options):
    return Pigeon(**options)

class Coded:
    def __init__(self, *, shift: int = 1):
        self.shift = shift

class Nest:
    def __init__(self, *, eggs: int = 1):
        self.orm, self.eggs = "nestlings", eggs
"""

ENTRY_POINTS = """
[asynctasq.drivers]
pigeon = pigeonry:carrier
carrier-pigeon = pigeonry:carrier
picky = pigeonry:picky
easy = pigeonry:easy
gone = pigeonry:gone

[asynctasq.serializers]
coded = pigeonry:Coded

[asynctasq.resolvers]
nestlings = pigeonry:Nest
fledglings = pigeonry:Nest
sqlalchemy = pigeonry:gone
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package beside ours, as an installer leaves it."""
    site = tmp_path / "site"
    (site / "pigeonry-1.dist-info").mkdir(parents=True)
    (site / "pigeonry.py").write_text(PACKAGE)
    (site / "pigeonry-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeonry\nVersion: 1\n")
    (site / "pigeonry-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(bootstrap, "_current", None)
    monkeypatch.delitem(sys.modules, "pigeonry", raising=False)


def options(init: dict[str, object] | str, tmp_path: Path, **environ: str) -> dict[str, object]:
    driver = App(load_settings(init, environ=environ, cwd=tmp_path)).drivers.get()
    assert isinstance(driver, MemoryDriver)
    given: dict[str, object] = driver.options  # type: ignore[attr-defined]
    return given


def refusal(init: dict[str, object] | str, tmp_path: Path, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        options(init, tmp_path, **environ)
    return str(refused.value)


DEFAULTS = {"url": None, "loft": Path("loft"), "birds": 1, "trained": True, "password": ""}


def test_a_driver_is_named_and_takes_its_defaults(tmp_path: Path) -> None:
    assert options("pigeon", tmp_path) == DEFAULTS


def test_its_options_are_settings_of_its_own(tmp_path: Path) -> None:
    given = {"driver": "pigeon", "drivers": {"pigeon": {"loft": "roof", "birds": 3}}}
    assert options(given, tmp_path) == DEFAULTS | {"loft": Path("roof"), "birds": 3}


@pytest.mark.parametrize("name", ["pigeon", "carrier-pigeon"])
def test_its_options_may_come_from_the_environment_as_text(tmp_path: Path, name: str) -> None:
    variable = f"ASYNCTASQ_DRIVERS_{name.upper().replace('-', '_')}_"
    environ = {
        f"{variable}LOFT": "roof",
        f"{variable}BIRDS": "3",
        f"{variable}TRAINED": "no",
        f"{variable}PASSWORD": "",
    }
    assert options(name, tmp_path, **environ) == DEFAULTS | {"loft": Path("roof"), "birds": 3, "trained": False}


def test_its_options_may_come_from_pyproject_and_each_from_the_strongest_place(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.asynctasq.drivers.pigeon]\nbirds = 1\nloft = 'roof'\n")
    (tmp_path / ".env").write_text("ASYNCTASQ_DRIVERS_PIGEON_BIRDS=2\n")
    given = {"driver": "pigeon", "drivers": {"pigeon": {"trained": False}}}
    assert options(given, tmp_path) == DEFAULTS | {"loft": Path("roof"), "birds": 2, "trained": False}
    loaded = load_settings(given, environ={}, cwd=tmp_path)
    assert loaded.sources["drivers.pigeon.birds"] == f"{tmp_path / '.env'}: ASYNCTASQ_DRIVERS_PIGEON_BIRDS"
    assert loaded.settings.flat()["drivers.pigeon.birds"] == "2"


def test_its_url_is_given_to_it_whole_beside_its_options(tmp_path: Path) -> None:
    given = {"driver": "pigeon://me@loft:1?x=y", "drivers": {"pigeon": {"birds": 2}}}
    assert options(given, tmp_path) == DEFAULTS | {"url": "pigeon://me@loft:1?x=y", "birds": 2}


def test_a_driver_that_takes_any_option_gets_any(tmp_path: Path) -> None:
    assert options({"driver": "easy", "drivers": {"easy": {"x": 1}}}, tmp_path) == {"x": 1}


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (
            {"driver": "pigeon", "drivers": {"pigeon": {"bird": 1}}},
            "drivers.pigeon.bird: there is no such option (known are url, loft, birds, trained, password); "
            "did you mean drivers.pigeon.birds?",
        ),
        ({"driver": "picky"}, "drivers.picky.ring is missing: give it a value"),
        ("picky://x", "drivers.picky.url: there is no such option (known are ring)"),
        ({"driver": "pigeon", "drivers": {"pigeon": {"birds": "many"}}}, "drivers.pigeon.birds: it should be a valid"),
        ({"driver": "gone"}, "'gone' (pigeonry:gone) cannot be loaded"),
        ({"driver": "pigeon", "drivers": {"pigeon": 1}}, "drivers (init()): use a mapping of drivers"),
        ({"driver": "pigeon", "drivers": 1}, "drivers (init()): use a mapping of drivers"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(tmp_path: Path, init: dict[str, object], said: str) -> None:
    assert said in refusal(init, tmp_path)


def test_a_refused_value_is_not_shown_as_it_may_be_a_secret(tmp_path: Path) -> None:
    given = {"driver": "pigeon", "drivers": {"pigeon": {"password": ["s3cret"]}}}
    assert "s3cret" not in refusal(given, tmp_path)


def test_a_name_that_is_nearly_right_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownDriver, match="did you mean 'pigeon'"):
        options("pigeno", tmp_path)


def test_a_variable_of_a_driver_that_is_not_installed_is_no_setting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_settings(environ={"ASYNCTASQ_DRIVERS_RAVEN_NEST": "x"}, cwd=tmp_path)
    assert "ASYNCTASQ_DRIVERS_RAVEN_NEST is no setting" in caplog.text


def test_options_that_sound_secret_are_shown_as_stars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYNCTASQ_DRIVERS_PIGEON_PASSWORD", "s3cret")
    monkeypatch.setenv("ASYNCTASQ_DRIVERS_PIGEON_BIRDS", "3")
    shown = json.loads(CliRunner().invoke(main, ["config", "show", "--json"], catch_exceptions=False).stdout)
    assert shown["drivers.pigeon.password"]["value"] == "**********"
    assert shown["drivers.pigeon.birds"] == {"value": "3", "source": "ASYNCTASQ_DRIVERS_PIGEON_BIRDS"}


def test_a_serializer_is_named_and_takes_its_options(tmp_path: Path) -> None:
    given = {"driver": "memory", "serializer": "coded", "serializers": {"coded": {"shift": 3}}}
    serializer = App(load_settings(given, environ={}, cwd=tmp_path)).container.serializer()
    assert (type(serializer).__name__, serializer.shift) == ("Coded", 3)
    environ = {"ASYNCTASQ_SERIALIZER": "coded", "ASYNCTASQ_SERIALIZERS_CODED_SHIFT": "4"}
    assert App(load_settings(environ=environ, cwd=tmp_path)).container.serializer().shift == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"serializer": "codde"}, "there is no serializer 'codde': known are msgpack, coded; did you mean 'coded'?"),
        (
            {"serializer": "coded", "serializers": {"coded": {"shfit": 1}}},
            "serializers.coded.shfit: there is no such option (known are shift); did you mean serializers.coded.shift?",
        ),
        ({"serializers": {"coded": 1}}, "serializers (init()): use a mapping of serializers"),
    ],
)
def test_a_serializer_that_cannot_work_is_refused_at_once(tmp_path: Path, given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        App(load_settings(given, environ={}, cwd=tmp_path))
    assert said in str(refused.value)


def resolvers(tmp_path: Path, given: dict[str, object], **environ: str) -> Resolvers:
    app = App(load_settings({"driver": "memory", **given}, environ=environ, cwd=tmp_path))
    found: Resolvers = app.container.resolvers()
    return found


def imported(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


def test_a_resolver_is_built_from_its_options_once_the_app_has_imported_its_orm_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolvers(tmp_path, {"resolvers": {"nestlings": {"eggs": 3}}})
    assert found.get("nestlings") is None
    assert "pigeonry" not in sys.modules
    imported(monkeypatch, "nestlings")
    resolver: Any = found.get("nestlings")
    assert (type(resolver).__name__, resolver.eggs) == ("Nest", 3)
    assert found.get("nestlings") is resolver
    found = resolvers(tmp_path, {}, ASYNCTASQ_RESOLVERS_NESTLINGS_EGGS="4")
    resolver = found.get("nestlings")
    assert resolver.eggs == 4


def test_ours_is_not_replaced_by_a_resolver_of_the_same_name(tmp_path: Path) -> None:
    import sqlalchemy.orm  # noqa: F401  in use

    assert type(resolvers(tmp_path, {}).get("sqlalchemy")).__name__ == "SQLAlchemyResolver"


def test_a_resolver_with_an_option_that_it_does_not_have_is_refused_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolvers(tmp_path, {"resolvers": {"nestlings": {"egs": 3}}})
    imported(monkeypatch, "nestlings")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"did you mean resolvers\.nestlings\.eggs\?"):
            found.in_use()


def test_options_of_a_resolver_that_nobody_brings_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"resolvers\.nestling: no package brings .*did you mean 'nestlings'\?"
    ):
        resolvers(tmp_path, {"resolvers": {"nestling": {"eggs": 3}}})


def test_a_resolver_under_another_name_than_that_of_its_references_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolvers(tmp_path, {})
    imported(monkeypatch, "fledglings")
    with pytest.raises(ConfigurationError, match="the resolver 'fledglings' writes references of 'nestlings'"):
        found.in_use()
