"""What a figure calls each of several fits."""

from collections.abc import Sequence

from mudata import MuData

from clipdim._mudata import read_fit


def fit_names(mdata: MuData, keys: Sequence[str]) -> dict[str, str]:
    """
    Name of each fit by its key, in order of ``out_dim``, which they are named after.

    Where two have the same ``out_dim``, all are named after their keys, in the order given.
    """
    if not keys:
        msg = "key is empty; pass the key_added of a fit, or several"
        raise ValueError(msg)
    dims = {key: read_fit(mdata, key).params.out_dim for key in keys}
    if len(set(dims.values())) < len(dims):
        return {key: key for key in dims}
    return {key: f"out_dim {dim}" for key, dim in sorted(dims.items(), key=lambda item: item[1])}
