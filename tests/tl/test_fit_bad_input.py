"""Input that ``tl.fit`` refuses, naming the mend and changing nothing, and unusual input that it accepts."""

from dataclasses import replace

import mudata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from clipdim.contrast import RECIPES
from clipdim.tl import fit

QUICK = {"out_dim": 4, "max_epochs": 2, "progress": False}


@pytest.fixture
def refuses(unchanged):
    """Return a function that fits and expects an error, and a MuData that is as it was."""

    def check(mdata, error, message, **arguments):
        with unchanged(mdata), pytest.raises(error, match=message):
            fit(mdata, **{**QUICK, **arguments})

    return check


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (TypeError, {"out_dim": 3.0}, "out_dim must be an integer of at least 1, got 3.0"),
        (TypeError, {"out_dim": "3"}, "out_dim must be an integer"),
        (TypeError, {"out_dim": True}, "out_dim must be an integer .*got True"),
        (TypeError, {"out_dim": None}, "out_dim must be an integer"),
        (ValueError, {"out_dim": 0}, "out_dim must be an integer of at least 1, got 0; 32"),
        (ValueError, {"out_dim": -2}, "out_dim must be an integer of at least 1"),
        (TypeError, {"random_state": None}, "random_state must be an integer"),
        (ValueError, {"random_state": -1}, "random_state must be an integer of at least 0"),
        (ValueError, {"random_state": 2**63}, "random_state must be .* below"),
        (
            ValueError,
            {"holdout": 1},
            "holdout must be a number at least 0 and below 1, got 1; it is a share of the cells",
        ),
        (ValueError, {"holdout": -0.1}, "holdout must be"),
        (ValueError, {"holdout": float("nan")}, "holdout must be"),
        (TypeError, {"holdout": "0.1"}, "holdout must be"),
        (TypeError, {"holdout": None}, "holdout must be"),
        (ValueError, {"holdout": 0.99}, "3 cells are left for training .* smaller holdout"),
        (
            ValueError,
            {"recipe": "fast"},
            r"recipe must be one of \['default', 'batches', 'paper'\], got 'fast'; or pass a .*Recipe",
        ),
        (TypeError, {"recipe": None}, "got None; or pass a"),
        (ValueError, {"similarity": "dot"}, r"similarity must be one of \['cosine', 'inner'\], got 'dot'"),
        (ValueError, {"max_epochs": -1}, "max_epochs must be an integer of at least 0, got -1"),
        (ValueError, {"max_epochs": 0, "recipe": "paper"}, "max_epochs=0 is the start alone, which needs start='ridge"),
        (ValueError, {"max_epochs": 0, "n_snapshots": 2}, "max_epochs=0 trains nothing that 2 snapshots could follow"),
        (TypeError, {"max_epochs": 1.5}, "max_epochs must be an integer"),
        (ValueError, {"batch_size": 1}, "batch_size must be an integer of at least 2"),
        (ValueError, {"lr": 0}, "lr must be a number above 0"),
        (ValueError, {"device": "abacus"}, "device='abacus' is not available .* choose 'auto' or one of .*'cpu'"),
        (ValueError, {"device": "cuda:99"}, "device='cuda:99' is not available"),
        (ValueError, {"key_added": "a/b"}, "key_added must be a non-empty string without '/'"),
        (ValueError, {"key_added": ""}, "key_added must be"),
        (ValueError, {"key_added": "clipdim_private"}, "ends like results of clipdim.tl.private, embed or impute"),
        (ValueError, {"key_added": "clipdim_model"}, "key_added='clipdim_model' is a name of clipdim.model"),
        (ValueError, {"key_added": "clipdim_setup"}, "'clipdim_setup' is a name of clipdim.model.*pass another name"),
        (TypeError, {"use_rep": 3}, "use_rep must be a string"),
        (KeyError, {"use_rep": "X_pca"}, r"'rna' has no .obsm\['X_pca'\].*run clipdim.pp.citeseq\(mdata\)"),
        (KeyError, {"use_rep": {"prot": "X_mine"}}, r"'prot' has no .obsm\['X_mine'\]"),
        (KeyError, {"use_rep": "atac:X"}, r"use_rep names \['atac'\]"),
        (KeyError, {"modalities": ["rna", "atac"]}, r"no modality named \['atac'\]; the MuData has \['rna', 'prot'\]"),
        (ValueError, {"modalities": ["rna"]}, "at least 2 modalities are needed"),
        (KeyError, {"batch_key": "donor"}, "no column 'donor' in mdata.obs"),
    ],
)
def test_arguments(make_mdata, refuses, error, arguments, message):
    refuses(make_mdata(), error, message, **arguments)


def test_one_modality(make_mdata, refuses):
    mdata = mudata.MuData({"rna": make_mdata()["rna"]})
    refuses(mdata, ValueError, r"at least 2 modalities are needed, got \['rna'\].* mudata.MuData\(\{")


def test_no_cell_in_common(make_mdata, refuses):
    refuses(make_mdata(lacking=150), ValueError, "no cell name in common, for instance .*give a cell the same name")


def test_something_else_than_a_mudata(make_mdata):
    for other in (make_mdata()["rna"], None, np.ones((3, 3))):
        with pytest.raises(TypeError, match=r"expected a MuData, got .*mudata.MuData\("):
            fit(other)


def test_view(make_mdata, unchanged):
    mdata = make_mdata()
    with unchanged(mdata), pytest.raises(ValueError, match=r"is a view .*mdata = mdata.copy\(\)"):
        fit(mdata[:100], **QUICK)
    fit(mdata[:100].copy(), **QUICK)


def test_modalities_that_are_views(make_mdata):
    parent = make_mdata()
    mdata = mudata.MuData({name: modality[:100] for name, modality in parent.mod.items()})
    fit(mdata, holdout=0, **QUICK)
    assert mdata["rna"].obsm["X_clipdim"].shape == (100, 4)
    assert "X_clipdim" not in parent["rna"].obsm


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(make_mdata, refuses, value):
    mdata = make_mdata()
    mdata["prot"].X[17, 3] = value
    refuses(mdata, ValueError, r"'X' of modality 'prot' has NaN or infinite values in 1 of 300 cells.*remove those")


def test_all_zero(make_mdata, refuses):
    mdata = make_mdata()
    mdata["prot"].X[:] = 0
    refuses(mdata, ValueError, r"every feature of 'X' of modality 'prot' is constant .*all zero\?")


def test_some_constant_features(make_mdata):
    mdata = make_mdata()
    mdata["prot"].X[:, 2], mdata["prot"].X[:, 5] = 0, 1e6
    with pytest.warns(UserWarning, match="2 of 8 features of 'X' of modality 'prot' are constant") as caught:
        fit(mdata, **QUICK)
    assert caught[0].filename == __file__
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    assert all(np.isfinite(array).all() for array in mdata.uns["clipdim"]["encoders"]["prot"].values())


def test_fewer_cells_than_a_batch(make_mdata):
    mdata = make_mdata(40)
    fit(mdata, **QUICK)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
    # 4 held-out cells say nothing about a dimension
    assert mdata.uns["clipdim"]["history"]["intrinsic_dimension_rna"].isna().all()
    assert mdata.uns["clipdim"]["intrinsic_dimension"]["rna"]["cells"] == "train"


def test_too_few_cells(make_mdata, refuses):
    refuses(make_mdata(10), ValueError, "9 cells are left for training .* at least 10 are needed; pass more cells")
    mdata = make_mdata(10)
    fit(mdata, holdout=0, **QUICK)
    assert np.isnan(mdata.uns["clipdim"]["intrinsic_dimension"]["joint"]["estimate"])


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse(make_mdata, convert):
    mdata, dense = make_mdata(), make_mdata()
    mdata["rna"].X = convert(mdata["rna"].X)
    for fitted in (mdata, dense):
        fit(fitted, **QUICK)
    np.testing.assert_array_equal(mdata.obsm["X_clipdim"], dense.obsm["X_clipdim"])
    assert sparse.issparse(mdata["rna"].X)


def test_wide_sparse(make_mdata, refuses):
    mdata = make_mdata()
    wide = AnnData(sparse.random(300, 501, 0.1, "csr", np.float32, random_state=0), obs=mdata["rna"].obs.copy())
    mdata = mudata.MuData({"rna": wide, "prot": mdata["prot"]})
    refuses(mdata, ValueError, r"'rna' has 501 features and no .obsm\['X_pca'\]; run clipdim.pp.citeseq\(mdata\)")
    refuses(mdata, ValueError, "sparse with 501 features, at most 500 are made dense; run", use_rep="rna:X")


@pytest.mark.parametrize("dtype", [np.int32, np.float64, np.float16])
def test_dtypes(make_mdata, dtype):
    mdata, rounded = make_mdata(), make_mdata()
    mdata["rna"].X = np.rint(10 * mdata["rna"].X).astype(dtype)
    rounded["rna"].X = np.rint(10 * rounded["rna"].X)
    for fitted in (mdata, rounded):
        fit(fitted, **QUICK)
    np.testing.assert_array_equal(mdata.obsm["X_clipdim"], rounded.obsm["X_clipdim"])
    assert mdata["rna"].X.dtype == dtype


def test_raw_counts(make_mdata):
    mdata = make_mdata()
    mdata["prot"].X = np.random.default_rng(0).poisson(np.exp(3 + mdata["prot"].X / 3)).astype(np.float32)
    with pytest.warns(UserWarning, match=r"'X' of modality 'prot' .* raw counts; run clipdim.pp.citeseq\(mdata\)"):
        fit(mdata, **QUICK)
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()


def test_duplicated_cells(make_mdata):
    """The same values under other names, in both modalities."""
    original, twin = make_mdata(150, shuffled=False), make_mdata(150, shuffled=False)
    mdata = {}
    for name in original.mod:
        twin[name].obs_names = "twin of " + twin[name].obs_names
        mdata[name] = AnnData(np.concatenate([original[name].X, twin[name].X]))
        mdata[name].obs_names = [*original[name].obs_names, *twin[name].obs_names]
        mdata[name].var_names = original[name].var_names
    mdata = mudata.MuData(mdata)
    fit(mdata, holdout=0.5, **QUICK)
    np.testing.assert_allclose(mdata.obsm["X_clipdim"][:150], mdata.obsm["X_clipdim"][150:], atol=1e-6)
    dimensions = mdata.uns["clipdim"]["intrinsic_dimension"].values()
    assert all(0.5 < found["estimate"] < 5 for found in dimensions)


@pytest.mark.filterwarnings("ignore:Duplicated obs_names", "ignore:.* are not unique")
def test_duplicated_names(make_mdata, refuses):
    modalities = {name: modality.copy() for name, modality in make_mdata(shuffled=False).mod.items()}
    for modality in modalities.values():
        modality.obs_names = ["cell0", *modality.obs_names[:-1]]
    refuses(mudata.MuData(modalities), ValueError, r"'rna' are not unique .*'cell0'.*obs_names_make_unique\(\)")


@pytest.mark.parametrize("values", ["missing", "unique"])
def test_batches(make_mdata, refuses, values):
    mdata = make_mdata()
    mdata.obs["donor"] = mdata.obs_names if values == "unique" else np.where(np.arange(300) < 7, None, "x")
    message = (
        "a value of its own for every cell" if values == "unique" else "is missing for 7 of 300 paired cells; fill"
    )
    refuses(mdata, ValueError, message, batch_key="donor")


def test_key_that_would_overwrite_the_input(make_mdata, refuses):
    mdata = make_mdata()
    mdata["rna"].obsm["X_pca"] = mdata["rna"].X.copy()
    refuses(mdata, ValueError, "key_added='pca' would overwrite the representation 'X_pca'", key_added="pca")


def test_key_whose_results_would_take_away_the_input(make_mdata, refuses):
    mdata = make_mdata()
    mdata["rna"].obsm["X_clipdim_private"] = mdata["rna"].X.copy()
    message = "key_added='clipdim' would overwrite the representation 'X_clipdim_private'"
    refuses(mdata, ValueError, message, use_rep={"rna": "X_clipdim_private", "prot": "X"})


def test_outlier(make_mdata, refuses):
    mdata = make_mdata()
    mdata["rna"].X[5, 5] = 1e37
    refuses(mdata, FloatingPointError, r"epoch 0.*input of modality 'rna' lies .* spreads from the mean", holdout=0)


def test_inner_similarity_of_few_cells(make_mdata):
    mdata = make_mdata(12)
    recipe = replace(RECIPES["default"], similarity="inner", norm_fraction=0.01)
    fit(mdata, 3, recipe=recipe, holdout=0, progress=False, max_epochs=2)
    assert (mdata.obs["clipdim_split"] == "norm set").sum() == 1


def test_modality_with_the_name_of_the_joint_embedding(make_mdata, unchanged):
    mdata = make_mdata(names=("rna", "joint"))
    with unchanged(mdata), pytest.raises(ValueError, match="named 'joint'"):
        fit(mdata, progress=False)


def test_one_dimension_of_cosines_warns(make_mdata):
    with pytest.warns(UserWarning, match="similarity='inner'"):
        fit(make_mdata(), 1, max_epochs=1, progress=False, device="cpu")


def test_cells_with_none_of_the_modalities_warn(make_mdata):
    mdata = make_mdata(names=("rna", "prot", "atac"), lacking=20)
    with pytest.warns(UserWarning, match="20 cells have none"):
        fit(mdata, 4, modalities=["prot", "atac"], max_epochs=1, progress=False, device="cpu")
