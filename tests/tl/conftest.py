import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData


@pytest.fixture
def hand_made_fit(make_fit):
    """A MuData as `tl.fit` leaves it, its modalities in other orders; its arrays in the order of mdata.obs_names."""
    rng = np.random.default_rng(0)
    names = np.array([f"cell{i}" for i in range(160)])
    types = np.array(["B", "NK", "T"])[rng.integers(3, size=160)]
    rna = rng.normal(size=(160, 5)) + 2 * (types == "T")[:, None]
    prot = rna + rng.normal(size=rna.shape)
    rna, prot = [(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (rna, prot)]
    modalities = {}
    for name, values in (("rna", rna), ("prot", prot)):
        order = rng.permutation(160)
        modalities[name] = AnnData(np.ones((160, 2), np.float32), obs=pd.DataFrame(index=names[order]))
        modalities[name].var_names = [f"{name}{i}" for i in range(2)]
        modalities[name].obsm["X_clipdim"] = values[order]
        modalities[name].obsm[f"X_{name}"] = values[order]
    mdata = mudata.MuData(modalities)
    order = pd.Index(names).get_indexer(mdata.obs_names)
    rna, prot, types = rna[order], prot[order], types[order]
    split = np.where(rng.uniform(size=160) < 0.4, "held-out", "train")
    mdata.obsm["X_clipdim"] = (rna + prot) / 2
    mdata.obs["clipdim_split"] = pd.Categorical(split)
    mdata.obs["cell_type"] = pd.Categorical(types)
    mdata.uns["clipdim"] = make_fit({"rna": 2, "prot": 2}, 5).to_uns()
    return mdata, rna, prot, split
