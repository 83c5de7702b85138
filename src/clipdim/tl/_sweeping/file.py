"""Finished fits of a sweep, kept where a crash does not reach them."""

import json
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class SweepFile:
    """A file of finished fits: a line with the settings and the data's fingerprint, then a line for each fit, all JSON.

    It is refused where it is of another sweep, and not touched before :meth:`open`.
    """

    def __init__(self, path: Path, settings: dict[str, Any], fingerprint: dict[str, str]) -> None:
        self.path = path
        settings = dict(settings)
        settings |= {f"recipe.{name}": value for name, value in settings.pop("recipe").items()}
        # as the file gives it back
        self.header = json.loads(
            json.dumps({"clipdim_sweep": {"settings": settings, "data": fingerprint}}, default=float)
        )
        self.records: list[Record] = []
        self._size = 0
        if path.exists() and path.stat().st_size:
            self._read()

    def _read(self) -> None:
        # what follows the last line break is a fit that was being written when the sweep was killed
        whole, _, _ = self.path.read_bytes().rpartition(b"\n")
        try:
            first, *others = [json.loads(line) for line in whole.splitlines()]
            differing = _differences(first["clipdim_sweep"], self.header["clipdim_sweep"])
        except (ValueError, TypeError, KeyError):
            msg = f"path={str(self.path)!r} is not a file that clipdim.tl.sweep wrote; name another one"
            raise ValueError(msg) from None
        # two processes that were started at once on a new file each write the first line
        self.records = [one for one in others if one != first]
        if wrong := [one for one in self.records if not _is_fit(one)]:
            msg = f"{str(self.path)!r} is damaged: {len(wrong)} of its lines hold no fit; mend it or name another path"
            raise ValueError(msg)
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


def check_path(path: str | os.PathLike) -> Path:
    """Return the path if a file can lie there."""
    where = Path(path)
    if where.is_dir():
        msg = f"path={str(where)!r} is a folder; name a file in it, as {str(where / 'sweep.jsonl')!r}"
        raise ValueError(msg)
    if not where.parent.is_dir():
        msg = f"path={str(where)!r}: there is no folder {str(where.parent)!r}; call os.makedirs({str(where.parent)!r})"
        raise ValueError(msg)
    return where


def _is_fit(record: Any) -> bool:
    return isinstance(record, dict) and {"out_dim", "repeat", "random_state"} <= set(record)


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
