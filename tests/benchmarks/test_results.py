"""Every result is one that a page shows, and the README says which command makes it."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
README = (FOLDER / "README.md").read_text()
TABLES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/*.md"))
COMMANDS = set(re.findall(r"python -m (benchmarks[.\w]*)", README))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in FOLDER.rglob("*.py")
    if "\ndef main() -> None" in path.read_text() and path.name not in ("memory.py",)
}


@pytest.mark.parametrize("name", TABLES)
def test_a_page_shows_the_table_and_the_readme_names_it(name):
    pages = [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    assert any(f"```{{include}} ../benchmarks/{name}\n" in page for page in pages)
    assert f"`{name}`" in README or f"`{Path(name).parent}/choices_*.md`" in README


def test_the_readme_names_all_commands_and_no_others():
    assert COMMANDS == MODULES


def test_commands_in_the_documentation_exist():
    text = "".join(path.read_text() for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
    named = set(re.findall(r"python -m (benchmarks[.\w]*)", text))
    assert named
    for name in named:
        assert find_spec(name), name
    assert "python benchmarks/" not in text
