import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from clipdim._mudata import representation, resolve_use_rep
from clipdim._mudata.representations import check_varies

VALUES = np.array([[-0.5, 2, 0], [1, 30, 4], [5, 6, 7]])


@pytest.mark.parametrize(
    "convert",
    [
        np.float64,
        np.float32,
        np.float16,
        np.int64,
        np.int8,
        bool,
        np.asfortranarray,
        sparse.csr_matrix,
        sparse.csc_array,
        lambda x: np.asarray(x)[::-1][::-1],
    ],
)
@pytest.mark.parametrize("in_x", [True, False])
@pytest.mark.filterwarnings("ignore:.*look like raw counts")
def test_values_become_dense_float32(wrap, convert, in_x):
    values = VALUES.astype(convert) if isinstance(convert, type) and issubclass(convert, np.generic | bool) else None
    values = convert(VALUES) if values is None else values
    mdata = wrap(values, in_x=in_x)
    found = representation(mdata, "m", "X" if in_x else "X_rep")
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    expected = values.toarray() if sparse.issparse(values) else values
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_data_frame(wrap):
    frame = pd.DataFrame(VALUES, index=["c0", "c1", "c2"], columns=list("xyz"))
    np.testing.assert_array_equal(representation(wrap(frame), "m", "X_rep"), VALUES.astype(np.float32))
    with pytest.raises(TypeError, match="dtype object, expected real numbers"):
        representation(wrap(frame.astype({"x": str})), "m", "X_rep")


def test_array_that_cannot_be_written_to(wrap):
    values = VALUES.astype(np.float32)
    values.flags.writeable = False
    found = representation(wrap(values), "m", "X_rep")
    assert found.flags.writeable
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("in_x", [True, False])
def test_values_that_are_not_finite(wrap, bad, in_x):
    values = VALUES.copy()
    values[1, 2] = bad
    with pytest.raises(ValueError, match=r"'m' has NaN or infinite values in 1 of 3 cells \(first in row 1\)"):
        representation(wrap(values, in_x=in_x), "m", "X" if in_x else "X_rep")


def test_wide_sparse_representation(wrap):
    wide = sparse.random(5, 501, 0.1, format="csr", dtype=np.float32, random_state=0)
    with pytest.raises(ValueError, match=r"sparse with 501 features, at most 500 .* clipdim.pp.citeseq\(mdata\)"):
        representation(wrap(wide, in_x=True), "m", "X")
    with pytest.raises(ValueError, match="'X_rep' of modality 'm' is sparse with 501 features"):
        representation(wrap(wide), "m", "X_rep")
    assert representation(wrap(wide[:, :500]), "m", "X_rep").shape == (5, 500)
    assert representation(wrap(wide), "m", "X_rep", columns=np.arange(3)).shape == (5, 3)


def test_complex_numbers(wrap):
    with pytest.raises(TypeError, match="complex128, expected real numbers"):
        representation(wrap(VALUES.astype(complex)), "m", "X_rep")


def test_no_features_no_cells_no_x(wrap, adata):
    with pytest.raises(ValueError, match="at least one feature"):
        representation(wrap(np.zeros((3, 0))), "m", "X_rep")
    with pytest.raises(ValueError, match="has no cells"):
        representation(mudata.MuData({"m": adata([], np.zeros((0, 2)))}), "m", "X")
    empty = mudata.MuData({"m": AnnData(obs=pd.DataFrame(index=list("ab")))})
    with pytest.raises(ValueError, match="is empty; name another representation"):
        representation(empty, "m", "X")


def test_missing_representation(wrap):
    mdata = wrap(VALUES)
    with pytest.raises(KeyError, match=r"no .obsm\['X_pca'\], only \['X', 'X_rep'\]; run clipdim.pp.citeseq\(mdata\)"):
        representation(mdata, "m", "X_pca")
    with pytest.raises(KeyError, match=r"no .obsm\['X_scVI'\]"):
        representation(mdata, "m", "X_scVI")


def test_raw_counts_in_x_warn(wrap):
    counts = np.random.default_rng(0).poisson(20, (50, 4))
    with pytest.warns(UserWarning, match=r"look like raw counts; run clipdim.pp.citeseq\(mdata\)"):
        representation(wrap(counts, in_x=True), "m", "X")
    quiet = [(wrap(counts), "X_rep"), *((wrap(x, in_x=True), "X") for x in (np.log1p(counts), counts > 20))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mdata, use_rep in quiet:
            representation(mdata, "m", use_rep)


def test_default_is_x_pca_else_narrow_x(adata):
    wide, narrow = np.zeros((2, 501), np.float32), np.zeros((2, 500), np.float32)
    mdata = mudata.MuData(
        {
            "wide": adata("ab", wide, prefix="w", X_pca=np.ones((2, 3))),
            "narrow": adata("ab", narrow, prefix="n"),
            "neither": adata("ab", wide, prefix="x", X_scVI=np.ones((2, 3))),
        }
    )
    assert resolve_use_rep(mdata, ["wide", "narrow"], None) == {"wide": "X_pca", "narrow": "X"}
    with pytest.raises(
        ValueError, match=r"'neither' has 501 features .*pp.citeseq\(mdata\), or name .*X_scVI.*use_rep="
    ):
        resolve_use_rep(mdata, ["wide", "neither"], None)
    assert resolve_use_rep(mdata, ["wide", "neither"], "neither:X_scVI") == {"wide": "X_pca", "neither": "X_scVI"}


@pytest.mark.parametrize(
    ("use_rep", "expected"),
    [
        (None, {"rna": "X", "prot": "X"}),
        ("X_scVI", {"rna": "X_scVI", "prot": "X_scVI"}),
        ("rna:X_scVI", {"rna": "X_scVI", "prot": "X"}),
        ({"rna": "X_scVI"}, {"rna": "X_scVI", "prot": "X"}),
        ({"rna": "rna:X_scVI", "prot": "X_pca"}, {"rna": "X_scVI", "prot": "X_pca"}),
    ],
)
def test_use_rep(mdata, use_rep, expected):
    assert resolve_use_rep(mdata, ["rna", "prot"], use_rep) == expected


def test_use_rep_of_an_unknown_modality(mdata):
    for use_rep in ("atac:X", {"atac": "X"}):
        with pytest.raises(KeyError, match=r"use_rep names \['atac'\].*\['rna', 'prot'\]"):
            resolve_use_rep(mdata, ["rna", "prot"], use_rep)


@pytest.mark.parametrize("use_rep", [3, {"rna": None}, ["X", "X"]])
def test_use_rep_of_the_wrong_type(mdata, use_rep):
    with pytest.raises(TypeError, match="use_rep must be a string, or strings by modality"):
        resolve_use_rep(mdata, ["rna", "prot"], use_rep)


def test_check_varies():
    with pytest.raises(ValueError, match="every feature of 'X' is constant"):
        check_varies(np.zeros((5, 2), np.float32), "'X'")
    with pytest.warns(UserWarning, match="1 of 3 features of 'X' are constant"):
        check_varies(np.c_[VALUES[:, :2], np.ones(3)], "'X'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_varies(VALUES, "'X'")
