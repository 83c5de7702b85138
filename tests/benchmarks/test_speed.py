"""`make bench` runs with what it installs, which is not what the peers need."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCKED = ("harmonypy", "mofapy2", "scib_metrics", "scvi")
COLLECT = """
import sys
import pytest

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
sys.exit(pytest.main({arguments}))
"""


def test_bench_collects_the_folder_of_speed_and_no_peers():
    recipe = re.search(r"^bench:.*\n\t(.*)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)[1]
    # the options of pytest-benchmark are unknown where the tests run
    words = [word for word in shlex.split(recipe.partition(" -m pytest ")[2]) if "benchmark-" not in word]
    code = COLLECT.format(blocked=BLOCKED, arguments=[*words, "--collect-only", "-p", "no:cacheprovider"])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    files = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert files == {str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks/speed").glob("test_*.py")}
