import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from clipdim import datasets

FILE = "quickstart_pbmc_mosaic.h5mu"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Three cells in the format of the file: one in both modalities, one in each only."""

    def modality(cells, counts, features):
        adata = AnnData(csr_matrix(np.array(counts, dtype=np.float32)), obs=pd.DataFrame(index=cells))
        adata.var_names = features
        adata.obs["batch"] = pd.Categorical([name.rpartition("_")[0] for name in cells])
        adata.obs["celltype"] = pd.Categorical([{"1": "B", "2": "NK", "3": "Mono"}[name[-1]] for name in cells])
        return adata

    path = tmp_path / "mosaic.h5mu"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = mudata.MuData(
            {
                "rna": modality(["p1_0_1", "p3_0_3"], [[0, 2], [3, 0]], ["CD4", "LYZ"]),
                "adt": modality(["p3_0_3", "p2_0_2"], [[5, 0], [0, 7]], ["CD4", "cd19"]),
            }
        )
        stored.write(path)
    monkeypatch.setattr("clipdim.datasets._pbmc_mosaic.fetch", lambda *_: [path])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, for the developers of anndata and mudata
        return datasets.pbmc_mosaic()


def test_assembly(small, tmp_path):
    def check(mdata):
        assert list(mdata.mod) == ["rna", "prot"]
        assert {name: list(adata.obs_names) for name, adata in mdata.mod.items()} == {
            "rna": ["p1_0_1", "p3_0_3"],
            "prot": ["p3_0_3", "p2_0_2"],
        }
        assert isinstance(mdata["rna"].X, csr_matrix)
        np.testing.assert_array_equal(mdata["rna"].X.toarray(), [[0, 2], [3, 0]])
        np.testing.assert_array_equal(mdata["prot"].X.toarray(), [[5, 0], [0, 7]])
        assert mdata["rna"].X.dtype == mdata["prot"].X.dtype == np.float32
        assert list(mdata["prot"].var_names) == ["CD4", "cd19"]
        assert {cell: tuple(labels) for cell, labels in mdata.obs[["donor", "cell_type"]].T.items()} == {
            "p1_0_1": ("p1_0", "B"),
            "p2_0_2": ("p2_0", "NK"),
            "p3_0_3": ("p3_0", "Mono"),
        }
        assert list(mdata.obs) == ["donor", "cell_type"]
        assert (mdata.obs.dtypes == "category").all()
        assert not any(adata.obs.columns.size for adata in mdata.mod.values())

    check(small)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small.update()
        small.write(tmp_path / "small.h5mu")
        check(mudata.read(tmp_path / "small.h5mu"))


def test_real(real_cache):
    folder = real_cache(FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, for the developers of anndata and mudata
        mdata = datasets.pbmc_mosaic()
    assert mdata.n_obs == 1_600
    assert mdata["rna"].shape == (1_200, 500)
    assert mdata["prot"].shape == (1_200, 224)
    for adata in mdata.mod.values():
        assert (adata.X.data == np.round(adata.X.data)).all()
        assert adata.X.data.min() > 0
    has = pd.DataFrame({name: mdata.obs_names.isin(adata.obs_names) for name, adata in mdata.mod.items()})
    patterns = pd.crosstab(mdata.obs["donor"].to_numpy(), [has["rna"], has["prot"]])
    assert patterns.loc["p1_0", (True, False)] == patterns.loc["p2_0", (False, True)] == 400
    assert patterns.loc["p3_0", (True, True)] == patterns.loc["p4_0", (True, True)] == 400
    assert mdata.obs["cell_type"].nunique() == 8
    assert not mdata.obs.isna().any(axis=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = mudata.read(folder / FILE)
    for old, name in (("rna", "rna"), ("adt", "prot")):
        labels = mdata.obs.loc[stored[old].obs_names]
        assert labels["donor"].tolist() == stored[old].obs["batch"].tolist()
        assert labels["cell_type"].tolist() == stored[old].obs["celltype"].tolist()
        assert (mdata[name].X != stored[old].X).nnz == 0
    # B cells are known by MS4A1 and CD20: labels and counts are of the same cells in both modalities
    for name, feature in (("rna", "MS4A1"), ("prot", "cd20")):
        adata = mdata[name][:, feature]
        values, of_b = adata.X.toarray().ravel(), (mdata.obs.loc[adata.obs_names, "cell_type"] == "B").to_numpy()
        assert values[of_b].mean() > 10 * values[~of_b].mean()
