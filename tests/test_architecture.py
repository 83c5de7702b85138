"""Conventions that hold for the whole package, checked on whatever its ``__all__`` lists."""

import ast
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
MODEL_ROOM = "model"
ARRAY_ROOMS = ("contrast", "dimension", "evaluation")


def public_names(*rooms: str) -> list[tuple[str, str]]:
    return [(room, name) for room in rooms for name in import_module(f"clipdim.{room}").__all__]


def function(room: str, name: str):
    return getattr(import_module(f"clipdim.{room}"), name)


FUNCTIONS = [
    pytest.param(room, name, id=f"{room}.{name}")
    for room, name in public_names(*MUDATA_ROOMS)
    if inspect.isfunction(function(room, name))
]
each_function = pytest.mark.parametrize(("room", "name"), FUNCTIONS)


MODELS = import_module(f"clipdim.{MODEL_ROOM}").__all__
each_model = pytest.mark.parametrize("name", MODELS)
METHODS = [
    pytest.param(model, name, id=f"{model}.{name}")
    for model in MODELS
    for name, member in inspect.getmembers(function(MODEL_ROOM, model), inspect.isroutine)
    if not name.startswith("_") or name == "__init__"
]
each_method = pytest.mark.parametrize(("model", "name"), METHODS)


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
        ("clipdim.dimension", {"torch", "sklearn", "scipy", "skdim"}),
        ("clipdim.evaluation", {"torch", "sklearn", "scipy"}),
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


@each_model
def test_model_lies_in_the_file_named_after_it(name):
    file = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    assert function(MODEL_ROOM, name).__module__ == f"clipdim.{MODEL_ROOM}._{file}"


def parameters_of(call) -> dict[str, inspect.Parameter]:
    return {name: found for name, found in inspect.signature(call).parameters.items() if name != "self"}


def check_signature(call) -> None:
    parameters = parameters_of(call).values()
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)
    assert sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters) <= 3
    assert all(parameter.annotation is not parameter.empty for parameter in parameters)
    assert inspect.signature(call).return_annotation is not inspect.Signature.empty


def described_parameters(docstring: str) -> set[str]:
    return {
        parameter.strip()
        for line in sections(docstring).get("Parameters", "").splitlines()
        if re.match(r"\w", line)
        for parameter in line.split(",")
    }


@each_function
def test_signature(room, name):
    check_signature(function(room, name))


@each_method
def test_signature_of_method(model, name):
    check_signature(getattr(function(MODEL_ROOM, model), name))


@each_function
def test_docstring(room, name):
    found = sections(inspect.getdoc(function(room, name)))
    assert {"Returns", "Yields"} & set(found)
    assert ">>> " in found["Examples"]
    assert described_parameters(inspect.getdoc(function(room, name))) == set(parameters_of(function(room, name)))


@each_method
def test_docstring_of_method(model, name):
    """That of ``__init__`` is the class's."""
    owner = function(MODEL_ROOM, model)
    method = getattr(owner, name)
    docstring = inspect.getdoc(owner if name == "__init__" else method)
    assert {"Raises", "Examples"} <= set(sections(docstring))
    assert ">>> " in sections(docstring)["Examples"]
    assert described_parameters(docstring) == set(parameters_of(method))


@each_model
def test_properties_are_documented(name):
    members = inspect.getmembers(function(MODEL_ROOM, name), lambda member: isinstance(member, property))
    assert all(inspect.getdoc(member) for _, member in members)


@pytest.mark.parametrize("room", [*MUDATA_ROOMS, MODEL_ROOM, *ARRAY_ROOMS])
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


SLOTS = {"obs", "obsm", "obsp", "uns", "var", "varm", "layers", "obsmap"}
# scanpy works on an AnnData: those that a function makes for itself are called so
OWN_OBJECTS = {"cells", "result"}


def slots_touched(file: Path) -> list[str]:
    """Lines of a file that read or write a slot of an object that is not its own."""
    found = []
    tree = ast.parse(file.read_text())
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]  # as the variance of an array
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in SLOTS and node not in called:
            if isinstance(node.value, ast.Name) and node.value.id in OWN_OBJECTS:
                continue
            found.append(f"{file.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("room", ["pp", "tl", "pl", "model", "fitting"])
def test_slots_are_touched_in_one_room_only(room):
    files = sorted((ROOT / "src" / "clipdim" / room).rglob("*.py"))
    assert [line for file in files for line in slots_touched(file)] == []


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [("embed", "mdata", "query"), ("update", "mdata", "query"), ("reduce", "n_dims", "out_dim")],
)
def test_old_names_of_arguments(function, old, new):
    """They still reach the function, which refuses what they name here."""
    call = getattr(import_module("clipdim.tl"), function)
    given = {"mdata": 3, "reference": 3} if old == "mdata" else {"mdata": 3, old: 2}
    given = {name: value for name, value in given.items() if name in {*parameters_of(call), old}}
    with pytest.warns(FutureWarning, match=rf"{function}\({old}=\) is now {function}\({new}=\)") as warned:
        with pytest.raises(TypeError, match="expected a MuData, got int"):
            call(**given)
    assert warned[0].filename == __file__
    with pytest.warns(FutureWarning), pytest.raises(TypeError, match=f"got {new}= and its old name {old}="):
        call(**given, **{new: 2})
    assert old not in parameters_of(call)
