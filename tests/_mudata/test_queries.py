"""New cells with the features of a reference."""

import warnings
from dataclasses import replace

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from clipdim._mudata import match_features, matched_representation

VALUES = np.random.default_rng(0).normal(1, 2, (40, 6)).astype(np.float32)


@pytest.fixture
def fit_of(make_fit):
    """Return a function that makes the fit of the reference's modality on one of its representations."""

    def make(reference, use_rep, *, standardize=True):
        values = reference["m"].X if use_rep == "X" else reference["m"].obsm[use_rep]
        ones = np.ones(values.shape[1], np.float32)
        mean, scale = (values.mean(axis=0), values.std(axis=0)) if standardize else (0 * ones, ones)
        fit = make_fit({"m": len(mean)}, 2)
        return replace(
            fit,
            params=replace(fit.params, use_rep={"m": use_rep}),
            encoders={"m": fit.encoders["m"] | {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}},
            features={"m": reference["m"].var_names.to_numpy(dtype=object)} if use_rep == "X" else {},
        )

    return make


@pytest.fixture
def reference(wrap):
    return wrap(VALUES, in_x=True)


def lacking(reference, *names):
    """The cells of the reference without some features, the others in reverse order."""
    kept = reference["m"].var_names.difference(names)[::-1]
    return mudata.MuData({"m": reference["m"][:, kept].copy()})


class TestFeaturesOfX:
    def test_by_name(self, reference, fit_of):
        query = lacking(reference)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = matched_representation(query, reference, "m", fit_of(reference, "X"))
        np.testing.assert_array_equal(found, VALUES)

    def test_others_are_not_looked_at(self, reference, adata, fit_of):
        extra = sparse.hstack([VALUES, sparse.random(40, 600, 0.1, random_state=0)]).tolil()
        extra[0, 10] = np.nan
        query = mudata.MuData({"m": adata([f"c{i}" for i in range(40)], extra.tocsr().astype(np.float32))})
        found = matched_representation(query, reference, "m", fit_of(reference, "X"))
        np.testing.assert_array_equal(found, VALUES)

    def test_a_missing_one_counts_as_the_mean(self, reference, fit_of):
        fit = fit_of(reference, "X")
        with pytest.warns(UserWarning, match=r"1 of the 6 features .* 'm': \['f2'\]; they count as .* mean"):
            found = matched_representation(lacking(reference, "f2"), reference, "m", fit)
        expected = VALUES.copy()
        expected[:, 2] = fit.encoders["m"]["mean"][2]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)

    def test_too_many_or_all_missing(self, reference, wrap, fit_of):
        fit = fit_of(reference, "X")
        with pytest.raises(ValueError, match=r"2 of the 6 features .*\['f1', 'f2'\]; at most 20% may be.*rename them"):
            matched_representation(lacking(reference, "f1", "f2"), reference, "m", fit)
        query = wrap(VALUES, in_x=True)
        query["m"].var_names = [f"ENSG{i}" for i in range(6)]
        with pytest.raises(ValueError, match=r"6 of the 6 features .*that is all of them, .*\['ENSG0', .*Ensembl"):
            matched_representation(query, reference, "m", fit)

    def test_none_may_be_missing_without_means(self, reference, fit_of):
        fit = fit_of(reference, "X", standardize=False)
        with pytest.raises(ValueError, match=r"1 of the 6 features .*none may be, .*standardize=False"):
            matched_representation(lacking(reference, "f2"), reference, "m", fit)
        np.testing.assert_array_equal(matched_representation(lacking(reference), reference, "m", fit), VALUES)

    def test_repeated_names(self, reference, wrap, fit_of):
        query = wrap(VALUES, in_x=True)
        query["m"].var_names = ["f0", "f0", *"wxyz"]
        with pytest.raises(ValueError, match=r"names .*'m' are not unique .*\['f0'\].*var_names_make_unique\(\)"):
            matched_representation(query, reference, "m", fit_of(reference, "X"))


@pytest.mark.parametrize(("n_missing", "accepted"), [(0, True), (20, True), (21, False), (100, False)])
def test_how_many_features_may_be_missing(n_missing, accepted):
    wanted = pd.Index([f"gene{i}" for i in range(100)])
    names = wanted[n_missing:][::-1].append(pd.Index(["other"]))
    if not accepted:
        with pytest.raises(ValueError, match=f"{n_missing} of the 100 features"):
            match_features(wanted, names, "rna")
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = match_features(wanted, names, "rna")
    assert len(caught) == (n_missing > 0)
    assert (rows[:n_missing] == -1).all()
    assert list(names[rows[n_missing:]]) == list(wanted[n_missing:])


class TestNormalisation:
    """Values that are far from the reference's in its own units."""

    @pytest.mark.parametrize("use_rep", ["X", "X_rep"])
    @pytest.mark.parametrize(
        ("factor", "kind"), [(1, "fine"), (2.4, "fine"), (2.6, "warn"), (4.9, "warn"), (5.1, "refuse")]
    )
    def test_limits(self, wrap, use_rep, factor, kind, fit_of):
        reference = wrap(VALUES, in_x=use_rep == "X")
        fit = fit_of(reference, use_rep)
        mean = VALUES.mean(axis=0)
        query = wrap(mean + factor * (VALUES - mean), in_x=use_rep == "X")
        if kind == "refuse":
            match = rf"{use_rep}' of modality 'm' are 5\.1 times .*another normalisation \(raw counts\?\); .*pp.citeseq"
            with pytest.raises(ValueError, match=match):
                matched_representation(query, reference, "m", fit)
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            matched_representation(query, reference, "m", fit)
        assert [str(w.message).count("or it is another normalisation") for w in caught] == [1] * (kind == "warn")

    def test_not_known_without_scaling(self, wrap, fit_of):
        reference = wrap(VALUES)
        fit = fit_of(reference, "X_rep", standardize=False)
        np.testing.assert_array_equal(matched_representation(wrap(VALUES * 99), reference, "m", fit), VALUES * 99)


def test_other_representations_by_number(wrap, fit_of):
    reference = wrap(VALUES)
    fit = fit_of(reference, "X_rep")
    np.testing.assert_array_equal(matched_representation(wrap(VALUES[:2]), reference, "m", fit), VALUES[:2])
    with pytest.raises(ValueError, match=r"has 2 features, the reference was fitted on 6; run clipdim.pp.citeseq"):
        matched_representation(wrap(VALUES[:, :2]), reference, "m", fit)


class TestComponents:
    def pca(self, adata, loadings, names):
        made = adata(list("abcd"), np.random.default_rng(0).normal(size=(4, len(names))))
        made.var_names = names
        made.varm["PCs"] = loadings
        made.obsm["X_pca"] = made.X @ loadings
        return mudata.MuData({"m": made})

    def test_by_their_loadings(self, adata, fit_of):
        loadings = np.random.default_rng(1).normal(size=(5, 2))
        loadings[3] = 0  # not highly variable
        reference = self.pca(adata, loadings, list("vwxyz"))
        fit = fit_of(reference, "X_pca")
        order = [4, 2, 0, 1]
        query = self.pca(adata, loadings[order], [list("vwxyz")[i] for i in order])
        found = matched_representation(query, reference, "m", fit)
        np.testing.assert_array_equal(found, query["m"].obsm["X_pca"].astype(np.float32))
        for other in (-loadings, loadings[:, ::-1], loadings[:, :1]):
            query = self.pca(adata, other, list("vwxyz"))
            with pytest.raises(ValueError, match=r"other loadings than the reference's.*reference=reference\)"):
                matched_representation(query, reference, "m", fit)

    def test_missing(self, adata, fit_of):
        reference = self.pca(adata, np.ones((5, 2)), list("vwxyz"))
        query = mudata.MuData({"m": adata("ab", np.ones((2, 5)))})
        with pytest.raises(KeyError, match=r"no .obsm\['X_pca'\]; run .*\(query, reference=reference\)"):
            matched_representation(query, reference, "m", fit_of(reference, "X_pca"))
