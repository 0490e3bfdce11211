"""Settings: where each may be given, which place wins, and what is said about those that cannot work."""

import logging
import re
from pathlib import Path

import pytest

from asynctasq.app import setting_sources
from asynctasq.app.drivers import check_driver
from asynctasq.app.settings import PATHS, SECRETS, Settings, load_settings
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.errors import ConfigurationError, InvalidName


@pytest.fixture(autouse=True)
def _every_warning_is_new():
    setting_sources._warn_unknown.cache_clear()


def load(init=None, *, tmp_path, **given):
    return load_settings(init, **{"environ": {}, "cwd": tmp_path, **given})


def refusal(init=None, *, tmp_path, **given):
    with pytest.raises(ConfigurationError) as refused:
        load(init, tmp_path=tmp_path, **given)
    return str(refused.value)


def test_without_anything_given_the_defaults_are_those_of_the_guide(tmp_path):
    loaded = load(tmp_path=tmp_path)
    assert loaded.settings == Settings()
    assert (loaded.settings.driver, loaded.settings.worker.lease, loaded.settings.worker.queues) == (
        "sqlite",
        30.0,
        None,
    )
    defaults = loaded.settings.defaults
    assert (defaults.queue, defaults.max_attempts, defaults.retry_delay, defaults.timeout) == ("default", 3, 60.0, None)
    assert set(loaded.sources) == set(PATHS)
    assert set(loaded.sources.values()) == {"default"}


def test_each_setting_comes_from_the_strongest_place_that_gives_it(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        "[tool.asynctasq.worker]\nthreads = 1\nconcurrency = 1\nlease = 1\nprocesses = 1\nshutdown_grace = 1\n"
    )
    (tmp_path / ".env").write_text(
        "ASYNCTASQ_WORKER_CONCURRENCY=2\nASYNCTASQ_WORKER_LEASE=2\nASYNCTASQ_WORKER_PROCESSES=2\n"
        "ASYNCTASQ_WORKER_SHUTDOWN_GRACE=2\nSOMETHING_ELSE=1\n"
    )
    environ = {
        "ASYNCTASQ_WORKER_LEASE": "3",
        "ASYNCTASQ_WORKER_PROCESSES": "3",
        "ASYNCTASQ_WORKER_SHUTDOWN_GRACE": "3",
    }
    init = {"worker": {"processes": 4, "shutdown_grace": 4}}
    cli = {"worker": {"shutdown_grace": 5, "lease": None}}
    loaded = load(init, cli=cli, environ=environ, tmp_path=tmp_path)
    worker = loaded.settings.worker
    assert (worker.threads, worker.concurrency, worker.lease, worker.processes, worker.shutdown_grace) == (
        1,
        2,
        3,
        4,
        5,
    )
    assert [loaded.sources[f"worker.{name}"] for name in ("threads", "concurrency", "lease", "processes")] == [
        str(tmp_path / "pyproject.toml"),
        f"{tmp_path / '.env'}: ASYNCTASQ_WORKER_CONCURRENCY",
        "ASYNCTASQ_WORKER_LEASE",
        "init()",
    ]
    assert loaded.sources["worker.shutdown_grace"] == "command line"
    assert loaded.sources["worker.queues"] == "default"


@pytest.mark.parametrize("path", PATHS)
def test_every_setting_has_a_flat_variable_with_one_underscore_behind_its_group(path, tmp_path):
    values = {
        "sqlite.synchronous": "NORMAL",
        "log.level": "Debug",
        "log.format": "json",
        "driver": "memory",
        "postgres.schema": "shop",
        "postgres.notify": "false",
        "sqs.endpoint_url": "http://localhost:7",
        "sqs.create_queues": "false",
        "defaults.on_missing": "Discard",
    }
    variable = "ASYNCTASQ_" + path.upper().replace(".", "_")
    loaded = load(environ={variable: values.get(path, "7")}, tmp_path=tmp_path)
    assert loaded.sources[path] == variable
    assert [other for other, source in loaded.sources.items() if source != "default"] == [path]
    assert loaded.settings.flat()[path] != Settings().flat()[path]


def test_lists_are_comma_separated_in_the_environment(tmp_path):
    environ = {"ASYNCTASQ_WORKER_QUEUES": "urgent, default,urgent", "ASYNCTASQ_IMPORTS": "a.tasks,b.tasks"}
    settings = load(environ=environ, tmp_path=tmp_path).settings
    assert settings.worker.queues == ("urgent", "default")
    assert settings.imports == ("a.tasks", "b.tasks")


def test_an_empty_variable_counts_as_not_given(tmp_path):
    loaded = load(environ={"ASYNCTASQ_WORKER_LEASE": "", "ASYNCTASQ_APP": ""}, tmp_path=tmp_path)
    assert (loaded.settings.worker.lease, loaded.settings.app) == (30.0, None)


def test_the_nearest_pyproject_counts_even_if_it_has_no_table(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.asynctasq]\ndriver = 'memory'\n")
    inner = tmp_path / "inner" / "deeper"
    inner.mkdir(parents=True)
    assert load(tmp_path=inner).settings.driver == "memory"
    (inner.parent / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert load(tmp_path=inner).settings.driver == "sqlite"


@pytest.mark.parametrize(
    ("url", "driver", "path"),
    [
        ("memory://", "memory", None),
        ("sqlite://", "sqlite", None),
        ("sqlite:///relative/queue.db", "sqlite", "relative/queue.db"),
        ("sqlite:////absolute/queue.db", "sqlite", "/absolute/queue.db"),
        ("memory", "memory", None),
    ],
)
@pytest.mark.parametrize("place", ["text", "mapping", "environment", "cli"])
def test_a_driver_may_be_a_url_wherever_it_is_given(url, driver, path, place, tmp_path):
    given = {
        "text": {"init": url},
        "mapping": {"init": {"driver": url}},
        "environment": {"environ": {"ASYNCTASQ_DRIVER": url}},
        "cli": {"cli": {"driver": url}},
    }
    loaded = load(tmp_path=tmp_path, **given[place])
    assert loaded.settings.driver == driver
    assert loaded.settings.sqlite.path == (tmp_path / path if path else None)
    assert loaded.sources["driver"] != "default"


@pytest.mark.parametrize(
    "url",
    [
        *("redis://one:1/2", "rediss://one", "unix:///run/redis.sock"),
        *(
            "redis+sentinel://one,two/shop",
            "rediss+sentinel://one,two/shop",
            "redis+cluster://one,two",
            "rediss+cluster://one",
        ),
    ],
)
def test_every_way_to_a_redis_is_a_url_of_the_redis_driver(url, tmp_path):
    settings = load(url, tmp_path=tmp_path).settings
    assert settings.driver == "redis"
    assert settings.redis.url.get_secret_value() == url
    check_driver(url)


def test_a_url_gives_its_path_with_the_strength_of_its_own_place(tmp_path):
    environ = {"ASYNCTASQ_SQLITE_PATH": "/env/queue.db"}
    assert load("sqlite:////init.db", environ=environ, tmp_path=tmp_path).settings.sqlite.path == Path("/init.db")
    environ = {"ASYNCTASQ_DRIVER": "sqlite:////env.db"}
    init = {"sqlite": {"path": "/init.db"}}
    assert load(init, environ=environ, tmp_path=tmp_path).settings.sqlite.path == Path("/init.db")


def test_a_url_and_the_same_place_beside_it_are_refused(tmp_path):
    init = {"driver": "sqlite:///a.db", "sqlite": {"path": "b.db"}}
    assert "sqlite.path is given beside it" in refusal(init, tmp_path=tmp_path)


def test_a_url_of_sqs_names_its_region_or_none(tmp_path):
    settings = load("sqs://eu-central-1", tmp_path=tmp_path).settings
    assert (settings.driver, settings.sqs.region) == ("sqs", "eu-central-1")
    assert load("sqs://", tmp_path=tmp_path).settings.sqs.region is None


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://relative.db",
        "sqlite:///a.db?synchronous=normal",
        "memory://shared",
        "sqs://eu-central-1/queue",
    ],
)
def test_a_url_with_too_much_in_it_says_how_it_is_written(url, tmp_path):
    assert url in refusal(url, tmp_path=tmp_path)


def test_the_settings_at_a_url_differ_in_nothing_else(tmp_path):
    settings = load({"worker": {"lease": 5}, "redis": {"password": "x"}}, tmp_path=tmp_path).settings
    there = settings.at("sqlite:////there.db")
    changed = {path: value for path, value in there.flat().items() if value != settings.flat()[path]}
    assert changed == {"sqlite.path": Path("/there.db")}


def test_a_url_of_another_packages_driver_is_kept(tmp_path):
    assert load("kafka://host", tmp_path=tmp_path).settings.driver == "kafka://host"


def test_a_relative_path_in_a_pyproject_counts_from_that_file(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.asynctasq.sqlite]\npath = 'queue.db'\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    assert load(tmp_path=inner).settings.sqlite.path == tmp_path / "queue.db"
    assert load({"sqlite": {"path": "queue.db"}}, tmp_path=inner).settings.sqlite.path == inner / "queue.db"


def test_a_driver_instance_is_kept_as_it_is(tmp_path):
    instance = object()
    assert load({"driver": instance}, tmp_path=tmp_path).settings.driver is instance


def test_unknown_keys_are_all_named_with_the_nearest_setting(tmp_path):
    init = {"drivr": "memory", "worker": {"concurency": 5}, "lease": 3, 4: 5}
    assert refusal(init, tmp_path=tmp_path).splitlines() == [
        "drivr (init()): there is no such setting; did you mean driver?",
        "worker.concurency (init()): there is no such setting; did you mean worker.concurrency?",
        "lease (init()): there is no such setting; did you mean worker.lease?",
        "4 (init()): there is no such setting; `asynctasq config show` lists those there are",
    ]


def test_a_group_that_is_no_mapping_says_what_goes_into_it(tmp_path):
    assert refusal({"sqlite": "queue.db"}, tmp_path=tmp_path) == (
        "sqlite (init()) is a str: use a mapping of path, synchronous"
    )


def test_an_unknown_key_in_a_pyproject_names_the_file(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.asynctasq]\ndrivr = 'memory'\n")
    assert refusal(tmp_path=tmp_path).startswith(f"drivr ({tmp_path / 'pyproject.toml'}): ")


@pytest.mark.parametrize(
    ("text", "said"),
    [("[tool", "cannot read"), ("[tool]\nasynctasq = 3\n", "is a int: write a table [tool.asynctasq]")],
)
def test_a_broken_pyproject_is_named(text, said, tmp_path):
    (tmp_path / "pyproject.toml").write_text(text)
    message = refusal(tmp_path=tmp_path)
    assert str(tmp_path / "pyproject.toml") in message
    assert said in message


def test_a_virtual_environment_called_dotenv_is_no_file_of_settings(tmp_path):
    (tmp_path / ".env").mkdir()
    assert load(tmp_path=tmp_path).settings == Settings()


def test_an_unreadable_dotenv_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    assert str(tmp_path / ".env") in refusal(tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("worker.concurrency", 0),
        ("worker.concurrency", "many"),
        ("worker.threads", True),
        ("worker.processes", 0),
        ("worker.lease", 0.5),
        ("worker.lease", 43_201),
        ("worker.lease", float("nan")),
        ("worker.shutdown_grace", -1),
        ("worker.queues", "a b"),
        ("worker.queues", []),
        ("defaults.queue", ""),
        ("defaults.max_attempts", -1),
        ("defaults.retry_delay", float("inf")),
        ("defaults.timeout", 0),
        ("limits.body", 0),
        ("log.level", "loud"),
        ("log.format", "xml"),
        ("sqlite.synchronous", "off"),
        ("sqlite.path", ":memory:"),
        ("sqlite.path", ""),
        ("driver", None),
        ("driver", ""),
    ],
)
def test_a_value_that_cannot_work_is_refused_in_one_line_with_its_path_and_source(path, value, tmp_path):
    group, _, name = path.rpartition(".")
    message = refusal({group: {name: value}} if group else {name: value}, tmp_path=tmp_path)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{path}=")
    assert " (init()): " in message
    assert "Input" not in message
    assert message.count(f"{name}=") == 1


def test_several_problems_are_told_together(tmp_path):
    environ = {"ASYNCTASQ_WORKER_LEASE": "x", "ASYNCTASQ_DEFAULTS_RETRY_DELAY": "-1"}
    assert refusal(environ=environ, tmp_path=tmp_path).splitlines() == [
        "defaults.retry_delay='-1' (ASYNCTASQ_DEFAULTS_RETRY_DELAY): use a number of seconds, 0 or more",
        "worker.lease='x' (ASYNCTASQ_WORKER_LEASE): it should be a valid number, unable to parse string as a number",
    ]


def test_init_takes_nothing_but_a_mapping_or_a_text(tmp_path):
    assert refusal(5, tmp_path=tmp_path) == "init(5): pass a mapping of settings, a driver's name or a URL"


def test_a_queue_name_is_checked_by_the_domain(tmp_path):
    with pytest.raises(InvalidName) as by_the_domain:
        check_queue_name("a/b")
    assert str(by_the_domain.value) in refusal({"worker": {"queues": ["a/b"]}}, tmp_path=tmp_path)


def test_secrets_are_never_shown(tmp_path):
    init = {path.split(".")[0]: {} for path in SECRETS}
    for path in SECRETS:
        group, _, name = path.partition(".")
        init[group][name] = "s3cret"
    loaded = load(init, tmp_path=tmp_path)
    shown = repr(loaded) + "".join(f"{value}" for value in loaded.settings.flat().values())
    assert "s3cret" not in shown
    assert "s3cret" in loaded.settings.redis.url.get_secret_value()
    message = refusal({"redis": {"password": ["s3cret"]}}, tmp_path=tmp_path)
    assert "s3cret" not in message


def test_every_setting_that_holds_a_secret_is_declared_as_one(tmp_path):
    urls_and_passwords = {path for path in PATHS if path.endswith((".url", ".dsn", ".password"))}
    assert urls_and_passwords == SECRETS


def test_an_unknown_variable_is_logged_once_with_the_nearest_name(tmp_path, caplog):
    environ = {
        "ASYNCTASQ_WORKER_LEESE": "5",
        "ASYNCTASQ_TEST_REDIS_URL": "x",
        "ASYNCTASQ_FAILPOINTS": "y",
        "OTHER": "z",
    }
    with caplog.at_level(logging.WARNING, "asynctasq.settings"):
        load(environ=environ, tmp_path=tmp_path)
        load(environ=environ, tmp_path=tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "ASYNCTASQ_WORKER_LEESE is no setting of asynctasq and is ignored; did you mean ASYNCTASQ_WORKER_LEASE?"
    ]


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().worker.lease = 5


def test_the_documentation_lists_every_setting_with_its_variable_and_default():
    text = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*?) \|(?: .* \|)?$", text, flags=re.MULTILINE))
    assert set(rows) == set(PATHS)
    for path, value in Settings().flat().items():
        variable = "ASYNCTASQ_" + path.upper().replace(".", "_")
        shown = f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value else ""
        if isinstance(value, bool):
            shown = shown.lower()
        if path == "sqlite.path":
            shown = "`.asynctasq/queue.db`"
        assert f"| `{path}` | `{variable}` | {shown}".rstrip() in text
