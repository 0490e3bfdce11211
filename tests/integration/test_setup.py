"""`scripts/setup` asks apt-get for what is missing, and for all that the tests' servers need."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout on a machine that has uv and apt-get, whose programs write down what they are asked for, and little else."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    version = re.findall(r"^UV_VERSION=(.+)$", (ROOT / "scripts/setup").read_text(), flags=re.MULTILINE)[0]
    told = f'#!/bin/sh\necho "$(basename "$0") $*" >>{tmp_path}/told\n'
    programs = {
        f".tools/uv-{version}/bin/uv": told,
        "bin/apt-get": told,
        "bin/id": "#!/bin/sh\necho 0\n",  # as root
    }
    for name, text in programs.items():
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    for name in ("dirname", "basename", "chmod", "rm"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    # What it would put there so that Debian starts no server must not be put on the machine that runs this test.
    script = (tmp_path / "scripts/setup").read_text()
    assert "policy=/usr/sbin/policy-rc.d\n" in script
    for there in ("/usr/sbin/", "/usr/lib/postgresql/"):
        script = script.replace(there, f"{tmp_path}{there}")
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "scripts/setup").write_text(script)
    return tmp_path


def set_up(folder: Path) -> str:
    done = subprocess.run(
        ["/bin/sh", folder / "scripts/setup", "--services"],
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "told").read_text()


def test_a_bare_machine_gets_each_server_and_the_program_that_makes_mariadbs_database(bare: Path) -> None:
    (installed,) = re.findall(r"^apt-get install .*--no-install-recommends (.*)$", set_up(bare), flags=re.MULTILINE)
    assert installed.split() == [
        "redis-server",
        "postgresql",
        "mariadb-server-core",
        "mariadb-client-core",
        "pgbouncer",
    ]


def test_where_all_of_them_are_nothing_is_installed(bare: Path) -> None:
    for name in ("redis-server", "postgres", "mariadbd", "my_print_defaults", "pgbouncer"):
        shutil.copy(bare / "bin/apt-get", bare / "bin" / name)
    assert "apt-get" not in set_up(bare)
