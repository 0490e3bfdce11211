"""`asynctasq doctor` on real brokers: what is well, and what to do where something is not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from tests.services import mariadb, sqs
from tests.services.postgres import execute

from asynctasq.drivers.mysql_driver import MySQLDriver
from asynctasq.drivers.postgres_driver import PostgresDriver
from asynctasq.drivers.redis_driver import RedisDriver

pytestmark = pytest.mark.timeout(90)


def doctor(folder: Path, *words: str, **environ: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit status, and the findings by subject."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
    done = subprocess.run(
        [sys.executable, "-m", "asynctasq", "doctor", "--json", *words],
        cwd=folder,
        env=ours | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, {each["subject"]: each for each in json.loads(done.stdout)}


def test_a_sqlite_queue_is_well_until_others_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "queue.db"
    status, found = doctor(tmp_path, ASYNCTASQ_DRIVER=f"sqlite:///{file}")
    assert (status, [each for each in found.values() if each["mend"]]) == (0, [])
    assert found["driver"]["said"] == f"{file} (driver: ASYNCTASQ_DRIVER)"
    assert {"clocks", "connection", "persistence", "permissions", "disk"} <= found.keys()

    file.chmod(0o644)
    status, found = doctor(tmp_path, "--driver", f"sqlite:///{file}", ASYNCTASQ_SQLITE_SYNCHRONOUS="normal")
    assert status == 1
    assert found["permissions"]["mend"] == f"others can read what is queued: chmod 600 {file}"
    assert "set sqlite.synchronous to full" in found["persistence"]["mend"]


def test_a_redis_tells_its_version_role_and_what_may_lose_tasks(tmp_path: Path, redis_url: str) -> None:
    async def settings() -> list[bytes]:
        driver = RedisDriver(redis_url)
        await driver.connect()
        assert driver._connected is not None
        replies = await driver._connected.ask(("CONFIG", "GET", "appendonly"), ("CONFIG", "GET", "maxmemory-policy"))
        await driver.close()
        return [reply[1] for reply in replies]

    appends, policy = asyncio.run(settings())
    status, found = doctor(tmp_path, ASYNCTASQ_DRIVER=redis_url)
    assert found["role"] == {"subject": "role", "said": "master", "mend": ""}
    assert found["server"]["said"].startswith(("Redis ", "Valkey "))
    assert ("CONFIG SET appendonly yes" in found["persistence"]["mend"]) is (appends != b"yes")
    assert ("CONFIG SET maxmemory-policy noeviction" in found["eviction"]["mend"]) is (policy != b"noeviction")
    assert status == int(any(each["mend"] for each in found.values()))


def test_a_postgres_is_well_once_it_is_migrated_and_misses_what_its_user_may_not_do(
    tmp_path: Path, postgres_url: str
) -> None:
    schema = f"doctor_{uuid4().hex[:12]}"
    settings = {"ASYNCTASQ_DRIVER": postgres_url, "ASYNCTASQ_POSTGRES_SCHEMA": schema}
    status, found = doctor(tmp_path, **settings)
    assert status == 2
    assert "run `asynctasq migrate`" in found["connection"]["said"]

    asyncio.run(PostgresDriver(postgres_url, schema=schema).install())
    try:
        _, found = doctor(tmp_path, **settings)
        assert found["role"]["said"] == "primary"
        assert (found["permissions"]["mend"], found["schema"]["mend"], found["clocks"]["mend"]) == ("", "", "")

        execute(
            postgres_url,
            f"CREATE ROLE {schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {schema};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}; GRANT INSERT ON {schema}.message TO {schema}",
        )
        host = postgres_url.rpartition("@")[2].removeprefix("postgresql://")
        status, found = doctor(tmp_path, **settings | {"ASYNCTASQ_DRIVER": f"postgresql://{schema}@{host}"})
        assert status == 1, found
        assert "lacks message: UPDATE, message: DELETE, dead: INSERT" in found["permissions"]["said"]
        assert found["permissions"]["mend"].startswith("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES")
    finally:
        execute(postgres_url, f"DROP SCHEMA {schema} CASCADE; DROP ROLE IF EXISTS {schema}")


def test_a_mysql_is_well_once_it_is_migrated_and_misses_what_its_user_may_not_do(
    tmp_path: Path, mysql_url: str
) -> None:
    name = f"doctor_{uuid4().hex[:12]}"
    settings = {"ASYNCTASQ_DRIVER": mysql_url, "ASYNCTASQ_MYSQL_TABLE_PREFIX": f"{name}_"}
    status, found = doctor(tmp_path, **settings)
    assert status == 2
    assert "run `asynctasq migrate`" in found["connection"]["said"]

    asyncio.run(MySQLDriver(mysql_url, table_prefix=f"{name}_").install())
    database = mysql_url.rpartition("/")[2]
    tables = [f"{database}.{name}_{table}" for table in ("message", "version")]
    try:
        _, found = doctor(tmp_path, **settings)
        assert found["role"]["said"] == "takes writes"
        assert (found["permissions"]["mend"], found["schema"]["mend"], found["clocks"]["mend"]) == ("", "", "")

        mariadb.execute(
            mysql_url,
            f"CREATE USER {name}",
            *(f"GRANT SELECT ON {table} TO {name}" for table in tables),
            f"GRANT INSERT ON {tables[0]} TO {name}",
        )
        status, found = doctor(tmp_path, **settings | {"ASYNCTASQ_DRIVER": mysql_url.replace("root@", f"{name}@")})
        assert status == 1, found
        assert found["permissions"]["said"] == "this user lacks UPDATE, DELETE"
        assert found["permissions"]["mend"].startswith("GRANT UPDATE, DELETE on the tables")
    finally:
        mariadb.execute(mysql_url, f"DROP TABLE {', '.join(tables)}", f"DROP USER IF EXISTS {name}")


def test_a_user_of_redis_who_may_not_use_the_keys_is_told_what_to_allow(tmp_path: Path, redis_url: str) -> None:
    user = f"doctor-{uuid4().hex[:12]}"

    async def told(*commands: tuple[str, ...]) -> None:
        driver = RedisDriver(redis_url)
        await driver.connect()
        assert driver._connected is not None
        await driver._connected.ask(*commands)
        await driver.close()

    asyncio.run(told(("ACL", "SETUSER", user, "on", ">secret", "+@all", "~nothing", "&*")))
    try:
        (tmp_path / "shop.py").write_text("from asynctasq import task\n\n@task\ndef send() -> None: ...\n")
        url = redis_url.replace("redis://", f"redis://{user}:secret@")
        status, found = doctor(tmp_path, "--app", "shop.py", ASYNCTASQ_DRIVER=url)
        assert status == 2
        assert "allow it @all on the keys and channels of redis.key_prefix" in found["connection"]["said"]
        assert "secret" not in str(found)
    finally:
        asyncio.run(told(("ACL", "DELUSER", user)))


def test_an_isolation_under_which_claims_refuse_each_other_is_told(tmp_path: Path, postgres_url: str) -> None:
    schema = f"doctor_{uuid4().hex[:12]}"
    asyncio.run(PostgresDriver(postgres_url, schema=schema).install())
    try:
        execute(
            postgres_url,
            f"CREATE ROLE {schema} SUPERUSER LOGIN; ALTER ROLE {schema} SET default_transaction_isolation = 'serializable'",
        )
        host = postgres_url.rpartition("@")[2].removeprefix("postgresql://")
        status, found = doctor(
            tmp_path, ASYNCTASQ_DRIVER=f"postgresql://{schema}@{host}", ASYNCTASQ_POSTGRES_SCHEMA=schema
        )
        assert status == 1
        assert found["isolation"]["said"] == "serializable"
        assert found["isolation"]["mend"].endswith("SET default_transaction_isolation = 'read committed'")
    finally:
        execute(postgres_url, f"DROP SCHEMA {schema} CASCADE; DROP ROLE IF EXISTS {schema}")


def test_a_broker_that_is_away_is_a_finding_with_what_to_do_and_a_status_of_its_own(tmp_path: Path) -> None:
    status, found = doctor(tmp_path, ASYNCTASQ_DRIVER="redis://127.0.0.1:1")
    assert status == 3
    assert found["connection"]["mend"].startswith("start the broker, or correct its address")
    assert found["driver"]["said"] == "redis://127.0.0.1:1/0 (driver: ASYNCTASQ_DRIVER)"


def test_sqs_tells_the_time_and_what_is_wrong_with_its_queues(tmp_path: Path, moto_url: str) -> None:
    settings = {
        "ASYNCTASQ_DRIVER": f"sqs://{sqs.REGION}",
        "ASYNCTASQ_SQS_ENDPOINT_URL": moto_url,
        "ASYNCTASQ_SQS_QUEUE_PREFIX": f"doctor-{uuid4().hex[:8]}-",
    }
    status, found = doctor(tmp_path, **settings)
    assert (status, [each for each in found.values() if each["mend"]]) == (0, [])
    assert found["clocks"]["said"].endswith("s apart")
    assert "created when it is needed" in found["queues"]["said"]
    status, found = doctor(tmp_path, **settings, ASYNCTASQ_SQS_CREATE_QUEUES="false")
    assert status == 1
    assert "sqs.create_queues" in found["queues"]["mend"]


def test_whoever_may_not_list_the_queues_of_sqs_is_told_so_and_the_rest_all_the_same(
    tmp_path: Path, moto_url: str
) -> None:
    for _ in range(2):  # for the queues that hold something, and for the examination
        sqs.told(moto_url, "refuse?action=ListQueues")
    status, found = doctor(
        tmp_path,
        "--driver",
        f"sqs://{sqs.REGION}",
        ASYNCTASQ_SQS_ENDPOINT_URL=moto_url,
        ASYNCTASQ_SQS_QUEUE_PREFIX="x-",
    )
    assert status == 1
    assert found["clocks"]["said"].endswith("s apart")
    assert found["listing"]["mend"].startswith("allow sqs:ListQueues")
