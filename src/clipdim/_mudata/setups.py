"""What ``clipdim.model`` is told about a MuData before it trains: modalities, representations, batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from mudata import MuData

from clipdim import _keys
from clipdim._mudata.batches import batch_columns
from clipdim._mudata.params import Params, read_batch_key
from clipdim._mudata.records import Record


@dataclass(frozen=True)
class Setup:
    """The arguments of a fit that say what to read."""

    use_rep: dict[str, str]
    """Representation of each modality, of all that are used."""
    batch_key: str | list[str] | None

    @property
    def modalities(self) -> list[str]:
        return list(self.use_rep)

    @classmethod
    def of_fit(cls, params: Params) -> "Setup":
        """Return what a fit was told."""
        return cls({name: params.use_rep[name] for name in params.modalities}, params.batch_key)


def write_setup(mdata: MuData, use_rep: Mapping[str, str], batch_key: str | Sequence[str] | None) -> None:
    """Write which representation of which modality a model reads, and the columns of its batches."""
    record: dict[str, Any] = {
        "version": version("clipdim"),
        "modalities": np.array(list(use_rep), dtype=object),  # a dict comes back from a file in another order
        "use_rep": dict(use_rep),
    }
    if isinstance(batch_key, str):
        record["batch_key"] = batch_key
    elif batch_key is not None:
        record["batch_key"] = np.array(batch_columns(batch_key), dtype=object)
    mdata.uns[_keys.SETUP] = record


def read_setup(mdata: MuData) -> Setup:
    """Return what ``setup_mudata`` wrote, also after the MuData was read from a file."""
    found, call = mdata.uns.get(_keys.SETUP), "call clipdim.model.ContrastiveEncoders.setup_mudata(mdata)"
    if not isinstance(found, Mapping):
        msg = f"the MuData has no mdata.uns[{_keys.SETUP!r}]; {call} first"
        raise KeyError(msg)
    record = Record(found, f"mdata.uns[{_keys.SETUP!r}]", f"{call} again")
    use_rep = record.within("use_rep")
    return Setup({name: use_rep.text(name) for name in record.texts("modalities")}, read_batch_key(record))
