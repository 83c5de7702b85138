"""What lies in ``.uns``, read with its types checked: files give values back in another form, and may be damaged."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NoReturn

import numpy as np
import pandas as pd


class Record:
    """A mapping in ``.uns`` whose entries are asked for by type.

    Files give back integers and texts as their numpy kin, lists as arrays, dicts in another order and columns of texts
    as categories; all of it comes out here as it was before. What is missing or of another kind is a ValueError that
    names the entry.
    """

    def __init__(self, values: Any, where: str, mend: str) -> None:
        self.where, self.mend = where, mend
        if not isinstance(values, Mapping):
            self._refuse(f"{where} is {type(values).__name__}, expected a dict")
        self.values = {str(name): value for name, value in values.items()}

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def _refuse(self, problem: str) -> NoReturn:
        msg = f"{problem}: the record is damaged; {self.mend}"
        raise ValueError(msg)

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raise the error of an entry that is not what was expected."""
        if name not in self:
            self._refuse(f"{self.where}[{name!r}] is missing, expected {expected}")
        value = self.values[name]
        shape = getattr(value, "shape", None)
        found = f"{type(value).__name__}{f' of shape {shape}' if shape else ''}" if np.ndim(value) else repr(value)
        self._refuse(f"{self.where}[{name!r}] is {found}, expected {expected}")

    def within(self, name: str) -> "Record":
        """Return the record that lies under a name."""
        if name not in self:
            self.refuse(name, "a dict")
        return Record(self.values[name], f"{self.where}[{name!r}]", self.mend)

    def integer(self, name: str, *, least: int = 0) -> int:
        """Return an integer of at least ``least``."""
        value = _scalar(self.values.get(name))
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            self.refuse(name, f"an integer of at least {least}")
        return int(value)

    def number(self, name: str, *, finite: bool = True) -> float:
        """Return a real number."""
        value = _scalar(self.values.get(name))
        if not isinstance(value, Real) or isinstance(value, bool) or (finite and not np.isfinite(float(value))):
            self.refuse(name, "a number")
        return float(value)

    def text(self, name: str) -> str:
        """Return a text."""
        value = _scalar(self.values.get(name))
        if not isinstance(value, str):
            self.refuse(name, "a string")
        return str(value)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, at least one."""
        value = self.values.get(name)
        if isinstance(value, str) or np.ndim(value) != 1 or not len(value):  # type: ignore[arg-type]
            self.refuse(name, "a list of strings")
        return [str(one) for one in value]  # type: ignore[union-attr]

    def array(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Return an array of finite numbers of that shape, in which None stands for any length."""
        value = self.values.get(name)
        sizes = tuple("any" if size is None else size for size in shape)
        expected = f"finite numbers of shape {sizes}"
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
            self.refuse(name, expected)
        if value.ndim != len(shape) or any(
            size not in (None, own) for size, own in zip(shape, value.shape, strict=True)
        ):
            self.refuse(name, expected)
        if not np.isfinite(value).all():
            self._refuse(f"{self.where}[{name!r}] has NaN or infinite values, expected {expected}")
        return value

    def table(self, name: str, columns: Sequence[str] = (), *, texts: bool = True) -> pd.DataFrame:
        """Return a table that has the given columns; with ``texts`` those that are no numbers are made of texts."""
        value = self.values.get(name)
        lacking = [column for column in columns if not isinstance(value, pd.DataFrame) or column not in value]
        if not isinstance(value, pd.DataFrame) or lacking:
            self.refuse(name, f"a table{' with the columns ' + ', '.join(lacking) if lacking else ''}")
        return plain_texts(value) if texts else value

    def plain(self, name: str) -> dict[str, Any]:
        """Return a dict of texts, numbers, booleans and None."""
        return {entry: _scalar(value) for entry, value in self.within(name).values.items()}


def plain_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of texts are of the usual type; files give them back as categories or another."""
    return table.astype(dict.fromkeys(table.select_dtypes(exclude=["number", "bool"]), str))


def _scalar(value: Any) -> Any:
    """Value as Python's own kind, also from an array without dimensions or with one entry."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.ndim == 0:
        value = value.item()
    return value.item() if isinstance(value, np.generic) else value
