import gzip
import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from clipdim import datasets

FILES = ["pbmc10k_harmo_rna.csv.gz", "pbmc10k_harmo_pro.csv.gz", "truth_10X10k.csv"]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Three cells in the format of the files, the cells of which are in different orders."""
    texts = {
        "rna.csv": ",c1,c2,c3\nCD4,0.0,2.0,0.0\nLYZ,1.0,0.0,7.0\n",
        "protein.csv": ",c2,c1,c3\nCD4_TotalSeqB,20.0,10.0,30.0\nPD-1_TotalSeqB,5.0,4.0,6.0\n",
        "labels.csv": '"Barcode","trueType"\n"c3","B cells"\n"c0","NK cells"\n"c2","unknown"\n"c1","CD4+ T cells"\n',
    }
    paths = [tmp_path / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    monkeypatch.setattr("clipdim.datasets._pbmc10k.fetch", lambda *_: paths)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, for the developers of anndata and mudata
        return datasets.pbmc10k()


def test_assembly(small):
    assert list(small.mod) == ["rna", "prot"]
    assert list(small.obs_names) == ["c1", "c2", "c3"]
    assert isinstance(small["rna"].X, csr_matrix)
    np.testing.assert_array_equal(small["rna"].X.toarray(), [[0, 1], [2, 0], [0, 7]])
    np.testing.assert_array_equal(small["prot"].X, [[10, 4], [20, 5], [30, 6]])
    assert small["rna"].X.dtype == small["prot"].X.dtype == np.float32
    assert list(small["rna"].var_names) == ["CD4", "LYZ"]
    assert list(small["prot"].var_names) == ["CD4", "PD-1"]


def test_labels(small, tmp_path):
    def check(mdata):
        assert list(mdata.obs) == ["cell_type", "batch"]
        assert list(mdata.obs["cell_type"].cat.categories) == ["B cells", "CD4+ T cells"]
        assert mdata.obs["cell_type"].isna().tolist() == [False, True, False]
        assert mdata.obs["cell_type"].iloc[0] == "CD4+ T cells"
        assert mdata.obs["batch"].tolist() == ["pbmc10k"] * 3

    check(small)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mudata: a coming default; a gene and a protein of the same name
        small.update()
        check(small)
        small.write(tmp_path / "small.h5mu")
        check(mudata.read(tmp_path / "small.h5mu"))


@pytest.mark.slow
def test_real(real_cache):
    folder = real_cache(*FILES)
    mdata = datasets.pbmc10k()
    rna, protein = mdata["rna"].X, mdata["prot"].X
    assert rna.shape == (6855, 4000)
    assert protein.shape == (6855, 14)
    for values in (rna.data, protein):
        assert (values == np.round(values)).all()
        assert values.min() >= 0
    assert mdata.obs_names.is_unique
    assert list(mdata["rna"].obs_names) == list(mdata["prot"].obs_names) == list(mdata.obs_names)
    assert mdata.obs["cell_type"].isna().sum() == 861
    assert mdata.obs["cell_type"].cat.categories.size == 7

    with gzip.open(folder / FILES[0], "rt") as file:  # read one gene by hand
        cells = next(file).rstrip("\n").split(",")[1:]
        gene, *counts = next(line for line in file if line.startswith("LYZ,")).rstrip("\n").split(",")
    assert cells == list(mdata.obs_names)
    np.testing.assert_array_equal(mdata["rna"][:, gene].X.toarray().ravel(), np.array(counts, dtype=float))
    labels = pd.read_csv(folder / FILES[2]).set_index("Barcode")["trueType"]
    assert labels[mdata.obs_names].tolist() == mdata.obs["cell_type"].astype(object).fillna("unknown").tolist()
    # monocytes are known by LYZ and CD14: rows of counts, proteins and labels are the same cells
    monocytes = (mdata.obs["cell_type"] == "CD14+ monocytes").to_numpy()
    for values in (mdata["rna"][:, "LYZ"].X.toarray(), mdata["prot"][:, "CD14"].X):
        assert np.median(values[monocytes]) > 10 * np.median(values[~monocytes])
