import gzip
import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from clipdim import datasets

FILES = ["bm_latent_D10_full.csv", "metadata.csv.gz", "Protein_count.mtx", "barcode.tsv", "protein.tsv"]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Three cells in the format of the files, two of them with proteins."""
    latent = pd.DataFrame(np.arange(30).reshape(3, 10) / 8)
    metadata = pd.DataFrame(
        {
            "nCount_RNA": [100, 200, 300],
            "lane": ["L1", "L2", "L1"],
            "donor": ["batch1", "batch2", "batch1"],
            "celltype.l1": ["T cell", "NK", "B cell"],
            "celltype.l2": ["Treg", "NK", "Naive B"],
        },
        index=["a_1", "b_1", "a_2"],
    )
    names = ["latent.csv", "metadata.csv", "counts.mtx", "barcode.tsv", "protein.tsv"]
    paths = [tmp_path / name for name in names]
    latent.to_csv(paths[0])
    metadata.to_csv(paths[1])
    paths[2].write_text("%%MatrixMarket matrix coordinate integer general\n3 2 3\n1 1 30\n3 1 4\n2 2 500\n")
    paths[3].write_text('"a_2"\n"b_1"\n')
    paths[4].write_text('"CD3"\n"CD19"\n"CD4"\n')
    monkeypatch.setattr("clipdim.datasets._bmcite.fetch", lambda *_: paths)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, for the developers of anndata and mudata
        return datasets.bmcite()


def test_assembly(small, tmp_path):
    def check(mdata):
        assert list(mdata.mod) == ["rna", "prot"]
        assert list(mdata.obs_names) == ["a_2", "b_1"]
        assert list(mdata["prot"].var_names) == ["CD3", "CD19", "CD4"]
        latent = np.array([np.arange(20, 30), np.arange(10, 20)]) / 8
        np.testing.assert_array_equal(mdata["rna"].X, latent)
        np.testing.assert_array_equal(mdata["rna"].obsm["X_scVI"], latent)
        np.testing.assert_array_equal(mdata["prot"].X.toarray(), [[30, 0, 4], [0, 500, 0]])
        assert mdata["rna"].X.dtype == mdata["rna"].obsm["X_scVI"].dtype == mdata["prot"].X.dtype == np.float32
        assert {name: column.tolist() for name, column in mdata.obs.items()} == {
            "celltype_l1": ["B cell", "NK"],
            "celltype_l2": ["Naive B", "NK"],
            "donor": ["batch1", "batch2"],
            "lane": ["L1", "L2"],
            "batch": ["batch1", "batch2"],
        }
        assert (mdata.obs.dtypes == "category").all()
        assert list(mdata.obs["celltype_l1"].cat.categories) == ["B cell", "NK"]  # of the cells that are there

    check(small)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small.update()
        small.write(tmp_path / "small.h5mu")
        check(mudata.read(tmp_path / "small.h5mu"))


def test_real(real_cache):
    folder = real_cache(*FILES)
    mdata = datasets.bmcite()
    latent, counts = mdata["rna"].X, mdata["prot"].X
    assert latent.shape == (15_000, 10)
    assert counts.shape == (15_000, 25)
    assert (counts.data == np.round(counts.data)).all()
    assert counts.data.min() > 0
    assert mdata.obs_names.is_unique
    assert mdata.obs[["celltype_l1", "celltype_l2", "donor", "lane"]].nunique().tolist() == [5, 27, 2, 10]
    assert not mdata.obs.isna().any(axis=None)

    with gzip.open(folder / "metadata.csv.gz") as file:
        metadata = pd.read_csv(file, index_col=0).loc[mdata.obs_names]
    # the metadata's totals are those of the proteins, and cell types are neighbours in the latent representation:
    # rows of counts, latent representation and labels are the same cells
    np.testing.assert_array_equal(np.asarray(counts.sum(axis=1)).ravel(), metadata["nCount_ADT"])
    neighbors = KNeighborsClassifier(15).fit(latent[::3], mdata.obs["celltype_l1"][::3])
    assert neighbors.score(latent[1::3], mdata.obs["celltype_l1"][1::3]) > 0.95
    cd19 = mdata["prot"][:, "CD19"].X.toarray().ravel()
    of_b = (mdata.obs["celltype_l1"] == "B cell").to_numpy()
    assert np.median(cd19[of_b]) > 10 * np.median(cd19[~of_b])
