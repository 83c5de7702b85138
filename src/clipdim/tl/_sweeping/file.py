"""Finished fits of a sweep, kept where a crash does not reach them."""

import json
import os
from pathlib import Path
from typing import Any

from clipdim.tl._sweeping.plan import Plan, Record


class SweepFile:
    """
    A file of finished fits: a line with the settings and the data's fingerprint, then a line for each fit, all JSON.

    It is not touched before :meth:`open`.

    Raises
    ------
    ValueError
        If the file is not one of a sweep, or of a sweep with other settings or of other data.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        settings = plan.settings()
        settings |= {f"recipe.{name}": value for name, value in settings.pop("recipe").items()}
        # as the file gives it back
        self.header = json.loads(
            json.dumps({"clipdim_sweep": {"settings": settings, "data": plan.fingerprint()}}, default=float)
        )
        self.records: list[Record] = []
        self._size = 0
        if path.exists() and path.stat().st_size:
            self._read()

    def _read(self) -> None:
        # what follows the last line break is a fit that was being written when the sweep was killed
        whole, _, _ = self.path.read_bytes().rpartition(b"\n")
        try:
            first, *self.records = [json.loads(line) for line in whole.splitlines()]
            differing = _differences(first["clipdim_sweep"], self.header["clipdim_sweep"])
        except (ValueError, TypeError, KeyError):
            msg = f"path={str(self.path)!r} is not a file that clipdim.tl.sweep wrote; name another one"
            raise ValueError(msg) from None
        if differing:
            msg = (
                f"{str(self.path)!r} holds {len(self.records)} fits of another sweep, which stay there: "
                f"{'; '.join(differing)}. Call clipdim.tl.sweep as then, or with another path"
            )
            raise ValueError(msg)
        self._size = len(whole) + 1

    def open(self) -> None:
        """Make the file, or cut off a line that was not finished."""
        if self._size:
            os.truncate(self.path, self._size)
        else:
            self._append(self.header)

    def append(self, record: Record) -> None:
        """Add a fit; on return it is on the disk."""
        self.records.append(record)
        self._append(record)

    def _append(self, entry: Record) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _differences(theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]) -> list[str]:
    """How the settings and data of the sweep in the file differ from those of this one."""
    found = []
    for name in {**theirs["settings"], **ours["settings"]}:
        then, now = theirs["settings"].get(name), ours["settings"].get(name)
        if then != now:
            found.append(f"{name}={then!r} then, {now!r} now")
    for name, fingerprint in ours["data"].items():
        if theirs["data"].get(name, fingerprint) != fingerprint:  # what only one of them reads is among the settings
            found.append(f"other {name}")
    return found
