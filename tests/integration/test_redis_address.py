"""Where a Redis is and how to log in: URLs, keywords, odd characters, sockets and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
import redis.asyncio
from redis.crc import key_slot
from tests.integration.sqlite_neighbour import put, take_ids
from tests.services import Server, free_port, tls
from tests.services import redis as service

from asynctasq.domain.errors import ConfigurationError, DriverError, DriverUnavailable
from asynctasq.domain.message import Message
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.ports.driver import EnqueueStatus

pytestmark = pytest.mark.asyncio

ODD = "p@:/?#[]%& +ü\\'\"{}=;"
"""What ends, splits or encodes something in a URL."""


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with service.server(options=["--unixsocket", "./redis.sock"]) as server:
        yield server


@pytest_asyncio.fixture
async def admin(server: Server) -> AsyncGenerator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(service.url(server)) as admin:
        yield admin
        await admin.config_set("requirepass", "")
        await admin.flushall()


async def works(driver: RedisDriver) -> None:
    await driver.connect()
    await put(driver, "one")
    assert await take_ids(driver) == ["one"]
    await driver.close()


@pytest.mark.parametrize("form", ["in the URL", "as keyword", "beside a user in the URL"])
async def test_a_password_and_a_user_name_may_have_any_characters(
    server: Server, admin: redis.asyncio.Redis, form: str
) -> None:
    name = "u" + ODD.replace(" ", "")  # the server itself allows no spaces in a name
    await admin.execute_command("ACL", "SETUSER", name, "reset", "on", f">{ODD}", "+@all", "~*", "&*")
    await admin.config_set("requirepass", ODD)
    place = f"127.0.0.1:{server.port}/0"
    driver = {
        "in the URL": lambda: RedisDriver(f"redis://{quote(name, safe='')}:{quote(ODD, safe='')}@{place}"),
        "as keyword": lambda: RedisDriver(f"redis://{place}", password=ODD),
        "beside a user in the URL": lambda: RedisDriver(f"redis://{quote(name, safe='')}@{place}", password=ODD),
    }[form]()
    await works(driver)
    assert driver.location == f"redis://{place}"


UNREADABLE = [
    "redis://:se/cret@localhost",
    "redis://:se?cret@localhost",
    "redis://:12#cret@localhost",
    "redis://:12/cret@localhost",
    "redis://localhost/zero",
    "redis://localhost/1/2",
    "redis://localhost/-1",
    "redis://localhost:port",
    "redis://localhost:99999",
    "redis://localhost?db=one",
    "redis+sentinel://:se/cret@localhost/shop",
    "redis+sentinel://localhost/shop/zero",
    "redis+sentinel://localhost:port,localhost/shop",
    "redis+cluster://:se?cret@localhost,localhost",
    "redis+cluster://localhost/shop",
    "redis+other://localhost",
    "redis://one:1,two:2/0",
    "http://localhost",
    "localhost:6379",
    "",
]


@pytest.mark.parametrize("url", UNREADABLE)
async def test_a_url_that_means_something_else_than_it_seems_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encoded") as refusal:
        RedisDriver(url)
    assert "cret" not in str(refusal.value)
    # A traceback shows the cause as well, and the client's own error quotes a part of the password.
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    ("scheme", "option"),
    [
        ("redis", "max_connections=5"),
        ("redis", "decode_responses=true"),
        ("unix", "protocol=3"),
        ("rediss", "socket_timeout=1"),
        ("redis", "ssl_ca_certs=ca.crt"),
        ("rediss", "ssl_unknown="),
        ("redis+cluster", "db=1"),
        ("redis+sentinel", "ssl_ca_certs=ca.crt"),
        ("redis", "sentinel_password=s3cret"),
    ],
)
async def test_an_option_in_the_url_that_is_not_for_there_is_refused_by_name(scheme: str, option: str) -> None:
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]):
        RedisDriver(f"{scheme}://localhost{'/shop' if 'sentinel' in scheme else ''}?{option}")


async def test_a_keyword_may_complete_the_url_and_repeat_it_but_not_contradict_it() -> None:
    assert RedisDriver("redis://localhost", db=3).location == "redis://localhost:6379/3"
    assert RedisDriver("redis://localhost/3", db=3).location == "redis://localhost:6379/3"
    assert RedisDriver("redis://localhost?db=3").location == "redis://localhost:6379/3"
    with pytest.raises(ConfigurationError, match=r"db= disagree \(0 and 3\)"):
        RedisDriver("redis://localhost/0", db=3)
    RedisDriver("redis://:same@localhost", password="same")
    with pytest.raises(ConfigurationError, match="password= disagree") as refusal:
        RedisDriver("redis://:first@localhost", password="second")
    assert not {"first", "second"} & set(str(refusal.value).split())
    with pytest.raises(ConfigurationError, match="db=-1"):
        RedisDriver("redis://localhost", db=-1)


async def test_several_places_are_shown_without_logins_and_with_their_ports() -> None:
    sentinels = RedisDriver("redis+sentinel://user:s3cret@one,two:7/shop/2?sentinel_password=s3cret")
    assert sentinels.location == "redis+sentinel://one:26379,two:7/shop/2"
    nodes = RedisDriver("rediss+cluster://user:s3cret@one,two:7?ssl_ca_certs=ca.crt")
    assert nodes.location == "rediss+cluster://one:6379,two:7"


async def test_sentinels_without_a_service_and_a_cluster_with_a_database_are_matters_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="names no service"):
        RedisDriver("redis+sentinel://localhost")
    with pytest.raises(ConfigurationError, match="database 0 only"):
        RedisDriver("redis+cluster://localhost", db=3)


async def test_a_service_that_the_sentinels_do_not_know_is_a_matter_of_configuration(redis_sentinel_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"know no service 'nobody'|check the name"):
        await RedisDriver(redis_sentinel_url.replace("/shop", "/nobody")).connect()


async def test_sentinels_of_which_some_are_gone_are_as_good(redis_sentinel_url: str) -> None:
    scheme, _, rest = redis_sentinel_url.partition("://")
    await works(RedisDriver(f"{scheme}://127.0.0.1:{free_port()},{rest}", key_prefix="gone"))


async def test_a_cluster_of_which_some_nodes_are_gone_is_found(redis_cluster_url: str) -> None:
    scheme, _, rest = redis_cluster_url.partition("://")
    await works(RedisDriver(f"{scheme}://127.0.0.1:{free_port()},{rest}", key_prefix="gone"))


async def test_a_cluster_of_valkey_which_has_its_own_word_for_it_is_as_good() -> None:
    with service.cluster(only="wheel") as nodes:
        await works(RedisDriver(service.cluster_url(nodes)))


async def test_a_cluster_without_any_node_is_unavailable_within_five_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(DriverUnavailable, match=r"none of its nodes answers|cannot be reached"):
        await RedisDriver(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}").connect()
    assert time.monotonic() - began < 5


async def test_a_cluster_that_is_none_and_a_server_that_is_one_are_matters_of_configuration(
    server: Server, redis_cluster_url: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"write redis:// in redis\.url"):
        await RedisDriver(service.url(server).replace("redis://", "redis+cluster://").removesuffix("/0")).connect()
    node = redis_cluster_url.replace("redis+cluster://", "").partition(",")[0]
    with pytest.raises(ConfigurationError, match=r"write redis\+cluster:// in redis\.url"):
        await RedisDriver(f"redis://{node}").connect()


async def test_databases_know_nothing_of_each_other(server: Server, admin: redis.asyncio.Redis) -> None:
    first, second = RedisDriver(service.url(server)), RedisDriver(f"redis://127.0.0.1:{server.port}", db=1)
    await first.connect()
    await second.connect()
    await put(first, "one")
    assert await second.queues() == []
    assert await take_ids(second) == []
    await first.close()
    await second.close()


async def test_a_unix_socket_is_as_good(server: Server, admin: redis.asyncio.Redis) -> None:
    path = server.folder / "redis.sock"
    await works(RedisDriver(f"unix://{path}?db=2"))
    assert RedisDriver(f"unix://{path}", db=2).location == f"unix://{path}/2"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate authority, and a certificate of it for 127.0.0.1."""
    return tls.authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(authority: Path) -> Generator[int]:
    """The port of a server that speaks TLS, where the one at hand can."""
    port = free_port()
    try:
        with service.server(options=service.over_tls(authority, port)):
            yield port
    except RuntimeError:
        pytest.skip("this server was built without TLS")


async def test_tls_works_with_an_authority_of_ones_own(secured: int, authority: Path) -> None:
    driver = RedisDriver(f"rediss://127.0.0.1:{secured}?ssl_ca_certs={authority / 'ca.crt'}")
    await works(driver)
    assert driver.location == f"rediss://127.0.0.1:{secured}/0"


async def test_a_certificate_that_is_not_trusted_is_a_matter_of_configuration(secured: int) -> None:
    driver = RedisDriver(f"rediss://127.0.0.1:{secured}")
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match="ssl_ca_certs"):
        await driver.connect()
    assert time.monotonic() - began < 5


async def test_a_file_for_tls_that_is_not_there_is_a_matter_of_configuration(secured: int) -> None:
    driver = RedisDriver(f"rediss://127.0.0.1:{secured}?ssl_ca_certs=/nowhere.crt")
    with pytest.raises(ConfigurationError, match="ssl_ca_certs"):
        await driver.connect()


@pytest.fixture(scope="module")
def cluster_over_tls(secured: int, authority: Path) -> Generator[str]:
    """A cluster whose nodes speak TLS, also among each other."""
    with service.cluster(authority=authority) as nodes:
        yield service.cluster_tls_url(nodes)


@pytest.fixture
def sentinels_over_tls(secured: int, authority: Path) -> Generator[tuple[list[Server], str]]:
    """Sentinels, a primary and its replica, all of which speak TLS."""
    with service.watched(authority=authority) as watched:
        yield watched


@pytest.fixture(params=["cluster", "sentinels"])
def several_over_tls(request: pytest.FixtureRequest) -> str:
    """Where several servers speak TLS, without what a client needs to trust them."""
    if request.param == "cluster":
        url: str = request.getfixturevalue("cluster_over_tls")
        return url
    _, url = request.getfixturevalue("sentinels_over_tls")
    return url


async def test_a_cluster_over_tls_has_its_queues_on_all_nodes(cluster_over_tls: str, authority: Path) -> None:
    driver = RedisDriver(f"{cluster_over_tls}?ssl_ca_certs={authority / 'ca.crt'}")
    await driver.connect()
    names = [f"q{n}" for n in range(30)]
    assert len({key_slot(f"{{asynctasq:{name}}}".encode()) * 3 // service.SLOTS for name in names}) == 3
    answers = await driver.enqueue([Message(id=name, queue=name, body=b"") for name in names])
    assert {answer.status for answer in answers} == {EnqueueStatus.CREATED}
    claims = await driver.claim(names, limit=30, lease=30, wait=0, worker="test")
    assert [claim.message.id for claim in claims] == names
    await driver.close()


async def test_a_primary_that_dies_is_replaced_by_sentinels_over_tls_and_the_driver_goes_on(
    sentinels_over_tls: tuple[list[Server], str], authority: Path
) -> None:
    (primary, _), url = sentinels_over_tls
    driver = RedisDriver(f"{url}?ssl_ca_certs={authority / 'ca.crt'}")
    await driver.connect()
    primary.kill()
    async with asyncio.timeout(60):  # a second or two until they agree, and an election
        while True:
            with contextlib.suppress(DriverError):
                await put(driver, "one")
                break
            await asyncio.sleep(0.1)  # nothing tells
    assert await take_ids(driver) == ["one"]
    await driver.close()


async def test_a_cluster_and_sentinels_whose_certificate_is_not_trusted_are_a_matter_of_configuration(
    several_over_tls: str, tmp_path: Path
) -> None:
    other = tls.authority(tmp_path) / "ca.crt"
    for driver in (RedisDriver(several_over_tls), RedisDriver(f"{several_over_tls}?ssl_ca_certs={other}")):
        began = time.monotonic()
        with pytest.raises(ConfigurationError, match="ssl_ca_certs=FILE") as refused:
            await driver.connect()
        assert time.monotonic() - began < 5
        assert "Redis at rediss" in str(refused.value)  # of a cluster, the node


async def test_servers_that_speak_no_tls_where_it_is_asked_for_are_unavailable_and_named(
    redis_cluster_url: str,
) -> None:
    driver = RedisDriver(redis_cluster_url.replace("redis+", "rediss+"))
    with pytest.raises(DriverUnavailable, match="write redis instead of rediss"):
        await driver.connect()
