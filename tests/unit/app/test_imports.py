"""Importing what an operator names."""

import sys
from types import ModuleType

import pytest

from asynctasq.app.imports import load_app
from asynctasq.errors import ConfigurationError


def refusal(spec):
    with pytest.raises(ConfigurationError) as refused:
        load_app(spec)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def test_a_module_in_the_working_directory_is_imported(project):
    project.write("shop_a/tasks.py", "x = 1")
    module = load_app("shop_a.tasks")
    assert isinstance(module, ModuleType)
    assert module.x == 1
    assert sys.path[0] == str(project.folder)


def test_the_working_directory_comes_before_anything_installed(project):
    project.write("click.py", "mine = True")
    installed = sys.modules.pop("click", None)
    try:
        assert load_app("click").mine
    finally:
        sys.modules.pop("click")
        if installed is not None:
            sys.modules["click"] = installed


def test_a_module_in_the_src_folder_is_imported_by_its_own_name(project):
    file = project.write("src/shop_b/tasks.py", "x = 2")
    assert load_app("shop_b.tasks").x == 2
    assert load_app(str(file)).__name__ == "shop_b.tasks"


def test_a_src_folder_that_is_a_package_is_one(project):
    project.write("src/__init__.py")
    project.write("src/jobs_c.py", "x = 3")
    assert load_app("src/jobs_c.py").__name__ == "src.jobs_c"
    del sys.modules["src"]


def test_an_attribute_may_be_named(project):
    project.write("shop_d.py", "class inner:\n    app = 'the app'\n")
    assert load_app("shop_d:inner.app") == "the app"
    assert load_app("shop_d.py:inner.app") == "the app"


@pytest.mark.parametrize("package", [True, False])
def test_a_file_is_imported_under_its_dotted_name(project, package):
    folder = f"shop_e{package}"
    file = project.write(f"{folder}/jobs.py", "x = 4")
    if package:
        project.write(f"{folder}/__init__.py")
    for spec in (f"{folder}/jobs.py", str(file), f"./{folder}/jobs.py"):
        assert load_app(spec) is sys.modules[f"{folder}.jobs"]


def test_a_file_of_a_package_elsewhere_is_imported_by_the_name_its_package_gives_it(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "shop_f" / "inner").mkdir(parents=True)
    for file in ("shop_f/__init__.py", "shop_f/inner/__init__.py"):
        (elsewhere / file).touch()
    (elsewhere / "shop_f/inner/jobs.py").write_text("import shop_f\nx = 5")
    try:
        assert load_app(str(elsewhere / "shop_f/inner/jobs.py")) is sys.modules["shop_f.inner.jobs"]
    finally:
        for name in ("shop_f.inner.jobs", "shop_f.inner", "shop_f"):
            sys.modules.pop(name, None)


def test_a_package_may_be_named_by_its_init_file(project):
    project.write("shop_g/__init__.py", "x = 6")
    assert load_app("shop_g/__init__.py") is sys.modules["shop_g"]


def test_a_script_is_imported_and_not_run(project):
    project.write("script_h.py", "ran = False\nif __name__ == '__main__':\n    ran = True\n")
    assert load_app("script_h.py").ran is False
    assert load_app("script_h.py").__name__ == "script_h"


@pytest.mark.parametrize("spec", ["nowhere_i.tasks", "nowhere_i", "shop_i.nothing"])
def test_a_module_that_does_not_exist_is_named_with_where_it_was_looked_for(project, spec):
    project.write("shop_i/__init__.py")
    message = refusal(spec)
    assert f"cannot import {spec!r}: there is no module " in message
    assert str(project.folder) in message


@pytest.mark.parametrize("spec", ["shop_q.taks", "shp_q"])
def test_a_misspelt_module_is_refused_with_the_nearest_that_is_there(project, spec):
    project.write("shop_q/__init__.py")
    project.write("shop_q/tasks.py")
    message = refusal(spec)
    assert f"did you mean {'shop_q.tasks' if '.' in spec else 'shop_q'!r}?" in message


def test_a_missing_import_within_the_module_is_not_mistaken_for_the_module(project):
    file = project.write("shop_j.py", "x = 1\nimport nowhere_j\n")
    assert refusal("shop_j") == (
        f"cannot import 'shop_j': ModuleNotFoundError: No module named 'nowhere_j' at {file}:2"
    )


@pytest.mark.parametrize(
    ("source", "error"),
    [("\n1 / 0", "ZeroDivisionError: division by zero"), ("\nimport sys; sys.exit(3)", "SystemExit: 3")],
)
def test_a_module_that_fails_on_import_is_shown_with_the_line(project, source, error):
    file = project.write("shop_k.py", source)
    assert refusal("shop_k.py") == f"cannot import {file}: {error} at {file}:2"


def test_a_module_that_does_not_parse_is_shown_with_the_line(project):
    file = project.write("shop_l.py", "x = 1\ndef (:\n")
    assert f"SyntaxError: invalid syntax (shop_l.py, line 2) at {file}:2" in refusal("shop_l")


def test_a_file_that_does_not_exist_is_named(project):
    assert (
        refusal("shop/jobs.py")
        == f"cannot import {project.folder / 'shop/jobs.py'}: no such file; name one from this folder"
    )


def test_a_folder_is_no_module(project):
    project.write("shop_m/jobs.py")
    assert "a folder: name a file or a module in it" in refusal("./shop_m")


def test_a_file_whose_path_is_no_name_is_refused(project):
    project.write("my-jobs.py")
    assert "must be identifiers" in refusal("my-jobs.py")


def test_a_file_that_is_hidden_by_another_module_is_refused(project):
    project.write("json.py")
    message = refusal("json.py")
    assert "the module 'json' is" in message
    assert message.endswith("; rename the file")


def test_an_attribute_that_does_not_exist_is_named_with_the_nearest(project):
    project.write("shop_n.py", "queue_app = 1")
    message = refusal("shop_n:queue_ap")
    assert message.startswith("cannot use 'shop_n:queue_ap': <module 'shop_n'")
    assert message.endswith("did you mean 'queue_app'?")
