"""Discovery: which files it takes, which it leaves alone, and that it never imports to look."""

import logging
import os
import sys

import pytest

from asynctasq.app import discovery
from asynctasq.app.discovery import discover, look
from asynctasq.errors import ConfigurationError

TASKS = "from asynctasq.tasks import task\n@task\ndef {name}(): ...\n"
BOMB = "raise AssertionError('imported to look')\n"


def taken(project):
    return [str(file.relative_to(project.folder)) for file in look(project.folder).files]


def skipped(project):
    return {str(skip.path.relative_to(project.folder)): skip.reason for skip in look(project.folder).skipped}


@pytest.mark.parametrize(
    "source",
    [
        "from asynctasq.tasks import task\n@task\ndef f(): ...",
        "from asynctasq.tasks import task\n@task(queue='x')\nasync def f(): ...",
        "from asynctasq.tasks import task as t\n@t\ndef f(): ...",
        "from asynctasq.tasks import *\n@task\ndef f(): ...",
        "from asynctasq import task\n@task\ndef f(): ...",
        "from asynctasq import tasks as q\n@q.task()\ndef f(): ...",
        "import asynctasq\n@asynctasq.task\ndef f(): ...",
        "import asynctasq as a\n@a.tasks.task\ndef f(): ...",
        "import asynctasq.tasks\n@asynctasq.tasks.task\ndef f(): ...",
        "import asynctasq.tasks as q\n@q.task\ndef f(): ...",
        "from asynctasq.tasks import task\nimport other\nf = task(other.f)",
        "from asynctasq.tasks import task\n@other\n@task\n@other\ndef f(): ...",
        "from asynctasq.tasks import task\nclass A:\n    @staticmethod\n    @task\n    def f(): ...",
        "try:\n    from asynctasq.tasks import task\nexcept ImportError: ...\nelse:\n    @task\n    def f(): ...",
    ],
)
def test_every_way_to_write_a_task_is_recognised_without_importing(project, source):
    project.write("shop/jobs.py", BOMB + source)
    assert taken(project) == ["shop/jobs.py"]


@pytest.mark.parametrize(
    "source",
    [
        "import asynctasq\nasynctasq.init()",
        "from asynctasq.tasks import task\n",
        "from asynctasq.tasks import task\ndef factory():\n    @task\n    def f(): ...\n",
        "from asynctasq.tasks import task\nlater = lambda f: task(f)\n",
        "import asynctasq\nfrom celery import task\n@task\ndef f(): ...",
    ],
)
def test_a_file_that_uses_asynctasq_but_makes_no_task_is_told_and_skipped(project, source):
    project.write("jobs.py", source)
    assert taken(project) == []
    assert skipped(project) == {"jobs.py": "makes no task"}


@pytest.mark.parametrize(
    "source",
    [
        "from other.tasks import task\n@task\ndef f(): ...",
        "# unlike asynctasq\nfrom .asynctasq import task\n@task\ndef f(): ...",
        "def (: nothing to do with us",
    ],
)
def test_a_file_that_has_nothing_to_do_with_asynctasq_is_not_mentioned(project, source):
    project.write("jobs.py", source)
    assert taken(project) == []
    assert skipped(project) == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test_jobs.py", "a test"),
        ("jobs_test.py", "a test"),
        ("conftest.py", "a test"),
        ("shop/__main__.py", "runs when it is imported"),
        ("my-jobs.py", "cannot be imported: its path is not made of identifiers"),
    ],
)
def test_a_file_that_must_not_be_imported_is_skipped_with_the_reason(project, name, reason):
    project.write(name, TASKS.format(name="f"))
    assert taken(project) == []
    assert skipped(project) == {name: reason}


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("tests", "tests"),
        ("shop/test", "tests"),
        ("lib/site-packages", "installed packages"),
        ("lib/dist-packages", "installed packages"),
        ("node_modules", "installed packages"),
        ("build", "built files"),
        ("dist", "built files"),
        ("shop.egg-info", "built files"),
    ],
)
def test_a_folder_that_is_not_the_programs_own_is_skipped_with_the_reason(project, folder, reason):
    project.write(f"{folder}/deeper/jobs.py", TASKS.format(name="f"))
    assert taken(project) == []
    assert skipped(project) == {folder: reason}


@pytest.mark.parametrize("marker", ["pyvenv.cfg", "conda-meta/history"])
def test_a_virtual_environment_is_skipped_whatever_its_name(project, marker):
    project.write("env310/lib/jobs.py", TASKS.format(name="f"))
    project.write(f"env310/{marker}")
    assert skipped(project) == {"env310": "a virtual environment"}


@pytest.mark.parametrize("folder", [".venv", ".git/hooks", "shop/__pycache__"])
def test_hidden_folders_and_caches_are_not_mentioned(project, folder):
    project.write(f"{folder}/jobs.py", TASKS.format(name="f"))
    assert taken(project) == []
    assert skipped(project) == {}


@pytest.mark.parametrize(
    "source", [b"# asynctasq\ndef (:\n", b"# asynctasq\n\0", b"# asynctasq\n\xff\xfe", b"# asynctasq\n" + b"(" * 500]
)
def test_a_file_that_does_not_parse_is_skipped_with_the_reason(project, source):
    project.write("jobs.py").write_bytes(source)
    assert taken(project) == []
    assert skipped(project)["jobs.py"].startswith("does not parse: ")


def test_a_file_that_cannot_be_read_is_skipped_with_the_reason(project):
    (project.folder / "jobs.py").symlink_to(project.folder / "gone.py")
    assert skipped(project) == {"jobs.py": "cannot be read: No such file or directory"}


def test_folders_that_are_linked_in_circles_are_not_followed(project):
    project.write("jobs.py", TASKS.format(name="f"))
    os.symlink(project.folder, project.folder / "again")
    assert taken(project) == ["jobs.py"]


def test_discovery_imports_what_makes_tasks_and_nothing_else(project, caplog):
    project.write("found_a/jobs.py", TASKS.format(name="pack"))
    project.write("found_a/other.py", BOMB)
    project.write("tests/test_jobs.py", BOMB + TASKS.format(name="test"))
    project.write("script_a.py", TASKS.format(name="send") + "if __name__ == '__main__':\n    " + BOMB)
    with caplog.at_level(logging.INFO, "asynctasq.discovery"):
        found = discover(project.folder)
    assert [file.name for file in found.files] == ["script_a.py", "jobs.py"]
    assert {"found_a.jobs", "script_a"} <= set(sys.modules)
    assert "found_a.other" not in sys.modules
    assert [record.getMessage() for record in caplog.records] == [
        "skipped tests: tests",
        "imported script_a.py as script_a",
        f"imported {os.path.join('found_a', 'jobs.py')} as found_a.jobs",
    ]


def test_a_found_file_that_fails_on_import_stops_the_worker_with_its_name(project):
    file = project.write("broken_a.py", TASKS.format(name="f") + "1 / 0\n")
    with pytest.raises(ConfigurationError, match="ZeroDivisionError") as refused:
        discover(project.folder)
    assert f"cannot import {file}: " in str(refused.value)


def test_finding_nothing_says_what_to_type(project):
    with pytest.raises(ConfigurationError, match=r"no tasks found below .*asynctasq worker shop\.tasks"):
        discover(project.folder)


def test_a_whole_disk_is_refused(project, monkeypatch):
    monkeypatch.setattr(discovery, "MOST_FILES", 3)
    for number in range(4):
        project.write(f"jobs{number}.py")
    with pytest.raises(ConfigurationError, match="more than 3 Python files"):
        look(project.folder)
