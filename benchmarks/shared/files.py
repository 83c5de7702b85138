"""Files that are in no public repository."""

import os
from pathlib import Path

import pooch


def named_by(variable: str, name: str, *, sha256: str) -> Path:
    """Path of the file that an environment variable names, if it is the right one."""
    path = Path(os.environ.get(variable, ""))
    if not path.is_file() or pooch.file_hash(str(path)) != sha256:
        msg = f"set {variable} to the path of {name} (sha256 {sha256}); it is {str(path)!r}"
        raise FileNotFoundError(msg)
    return path
