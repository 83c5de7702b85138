"""Conventions that hold for the whole package, checked on whatever its ``__all__`` lists."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
MUDATA_ROOMS = ("pp", "tl", "pl", "datasets")
ARRAY_ROOMS = ("contrast", "dimension", "evaluation", "neighbors")


def public_names(*rooms: str) -> list[tuple[str, str]]:
    return [(room, name) for room in rooms for name in import_module(f"clipdim.{room}").__all__]


FUNCTIONS = [
    pytest.param(room, name, id=f"{room}.{name}")
    for room, name in public_names(*MUDATA_ROOMS)
    if inspect.isfunction(getattr(import_module(f"clipdim.{room}"), name))
]
each_function = pytest.mark.parametrize(("room", "name"), FUNCTIONS)


def function(room: str, name: str):
    return getattr(import_module(f"clipdim.{room}"), name)


def sections(docstring: str) -> dict[str, str]:
    """Sections of a numpydoc docstring by title."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", docstring, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("clipdim", {"torch", "matplotlib", "sklearn", "scanpy", "muon"}),
        ("clipdim.datasets", {"torch", "matplotlib", "scanpy"}),
        ("clipdim.pp", {"torch", "muon", "scanpy"}),
    ],
)
def test_import_is_light(module, unwanted):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not unwanted & set(loaded)


def test_imports_go_down_only():
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


@each_function
def test_function_lies_in_the_file_named_after_it(room, name):
    assert function(room, name).__module__ == f"clipdim.{room}._{name}"


@each_function
def test_signature(room, name):
    signature = inspect.signature(function(room, name))
    parameters = signature.parameters.values()
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)
    assert sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters) <= 3
    assert all(parameter.annotation is not parameter.empty for parameter in parameters)
    assert signature.return_annotation is not signature.empty


@each_function
def test_docstring(room, name):
    found = sections(inspect.getdoc(function(room, name)))
    assert {"Returns", "Yields"} & set(found)
    assert ">>> " in found["Examples"]
    described = {
        parameter.strip()
        for line in found.get("Parameters", "").splitlines()
        if re.match(r"\w", line)
        for parameter in line.split(",")
    }
    assert described == set(inspect.signature(function(room, name)).parameters)


@pytest.mark.parametrize("room", [*MUDATA_ROOMS, *ARRAY_ROOMS])
def test_every_public_name_has_a_page(room):
    page = (ROOT / "docs" / "api" / f"{room}.md").read_text()
    listed = re.findall(r"^(?:   |\.\. data:: )(\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(import_module(f"clipdim.{room}").__all__)


def test_no_file_names_a_registry_or_a_machine():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    # written so that this file does not match
    unwanted = re.compile(rb"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|anaconda[.]org|[/](?:work|root)[/]")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert [str(file) for file in files if file.is_file() and unwanted.search(file.read_bytes())] == []
