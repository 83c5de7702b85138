import warnings

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

import clipdim
from clipdim import pl
from clipdim.datasets import simulate_citeseq
from clipdim.tl import embed, fit, loadings, private

QUICK = {"progress": False, "device": "cpu"}
pytestmark = pytest.mark.filterwarnings("ignore:.*Consolidated metadata", "ignore:.*zarr.*:FutureWarning")


@pytest.fixture(scope="module")
def fitted_once(make_mdata, plain):
    mdata = make_mdata(500, lacking=20)
    fit(mdata, 6, recipe=plain, max_epochs=10, holdout=0.3, **QUICK)
    return mdata


@pytest.fixture
def fitted(fitted_once):
    return fitted_once.copy()


def of_cells(mdata, name, slot):
    return pd.DataFrame(mdata[name].obsm[slot], index=mdata[name].obs_names).reindex(mdata.obs_names)


def inputs_of(mdata, name):
    return pd.DataFrame(mdata[name].X, index=mdata[name].obs_names).reindex(mdata.obs_names)


def test_against_numpy(fitted):
    """Residual of a regression on the joint embedding, its principal components, in units of the overall spread."""
    private(fitted, n_dims=4)
    train = (fitted.obs["clipdim_split"] == "train").to_numpy()
    joint = fitted.obsm["X_clipdim"].astype(float)
    for name in ("rna", "prot"):
        found, x = of_cells(fitted, name, "X_clipdim_private"), inputs_of(fitted, name).to_numpy(float)
        assert fitted[name].obsm["X_clipdim_private"].dtype == np.float32
        x = x - np.nanmean(x[train], axis=0)
        x = x / np.sqrt(np.nanvar(x[train], axis=0).sum())
        z = joint - joint[train].mean(axis=0)
        penalty = 1e-3 * train.sum() * np.eye(z.shape[1])
        residual = x - z @ np.linalg.solve(z[train].T @ z[train] + penalty, z[train].T @ x[train])
        axes = np.linalg.svd(residual[train] - residual[train].mean(axis=0), full_matrices=False)[2][:4].T
        expected = residual @ axes
        signs = np.sign(np.nansum(expected * found.to_numpy(), axis=0))
        np.testing.assert_allclose(found, expected * signs, atol=1e-3)


def test_uncorrelated_with_the_leading_axes_of_the_shared_embedding_and_with_each_other(fitted):
    private(fitted, n_dims=3)
    train = (fitted.obs["clipdim_split"] == "train").to_numpy()
    joint = PCA(3).fit_transform(fitted.obsm["X_clipdim"][train])
    for name in ("rna", "prot"):
        own = of_cells(fitted, name, "X_clipdim_private").to_numpy()[train]
        together = np.corrcoef(np.hstack([own, joint]).T)
        np.testing.assert_allclose(together[:3], np.eye(6)[:3], atol=0.05)


def test_the_complete_embedding_is_both_side_by_side(fitted):
    private(fitted, n_dims=3, weight=0.5)
    complete, train = fitted.obsm["X_clipdim_complete"], (fitted.obs["clipdim_split"] == "train").to_numpy()
    assert complete.shape == (500, 12)
    assert complete.dtype == np.float32
    assert not np.isnan(complete).any()
    ratio = complete[train, :6].std(axis=0) / fitted.obsm["X_clipdim"][train].std(axis=0)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    for name, columns in (("rna", slice(6, 9)), ("prot", slice(9, 12))):
        # cells without the modality are at its mean
        expected = 0.5 * of_cells(fitted, name, "X_clipdim_private").fillna(0)
        np.testing.assert_allclose(complete[:, columns], expected, atol=1e-6)


def test_table_is_of_held_out_cells_and_adds_up(fitted):
    table = private(fitted, n_dims=3)
    assert table["modality"].tolist() == ["rna", "prot"]
    assert set(table["cells"]) == {"held-out"}
    assert table["n_cells"].tolist() == [138, 138]
    np.testing.assert_allclose(table[["shared", "private", "left"]].sum(axis=1), 1)
    held_out = (fitted.obs["clipdim_split"] == "held-out").to_numpy()
    for row in table.itertuples():
        own = of_cells(fitted, row.modality, "X_clipdim_private").to_numpy()[held_out]
        x = inputs_of(fitted, row.modality).to_numpy()
        train = (fitted.obs["clipdim_split"] == "train").to_numpy()
        # of the modality's variance in the same cells, over the spread of the training cells
        share = own.var(axis=0).sum() * x[train].var(axis=0).sum() / x[held_out].var(axis=0).sum()
        assert row.private == pytest.approx(share, rel=1e-3)
    pd.testing.assert_frame_equal(fitted.uns["clipdim"]["private_variance"], table)


def test_a_modality_with_few_held_out_cells_is_measured_on_training_cells(make_mdata):
    mdata = make_mdata(300, names=("rna", "prot", "atac"), shuffled=False)
    mdata = mudata.MuData({"rna": mdata["rna"], "prot": mdata["prot"], "atac": mdata["atac"][:40].copy()})
    fit(mdata, 4, max_epochs=2, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        table = private(mdata).set_index("modality")
    held_out = (mdata.obs["clipdim_split"] == "held-out").to_numpy()
    assert held_out[:40].sum() < 12 < held_out.sum()
    assert table["cells"].to_dict() == {"rna": "held-out", "prot": "held-out", "atac": "train"}
    assert table.loc["atac", "n_cells"] == 40 - held_out[:40].sum()
    assert table[["shared", "private", "left"]].notna().all(axis=None)


def test_batches_of_the_fit_are_not_needed(make_mdata):
    mdata = make_mdata(300)
    mdata.obs["donor"] = np.where(np.arange(300) % 2, "a", "b")
    fit(mdata, 4, max_epochs=2, batch_key="donor", **QUICK)
    expected = private(mdata)
    del mdata.obs["donor"]
    pd.testing.assert_frame_equal(private(mdata), expected)


def test_what_was_simulated_as_private_is_found_and_what_is_shared_is_not():
    mdata = simulate_citeseq(2_000, 4, n_private_rna=2, n_private_protein=1)
    clipdim.pp.citeseq(mdata)
    fit(mdata, 16, holdout=0.3, **QUICK)
    private(mdata)
    split = mdata.obs["clipdim_split"]
    train, held_out = (split == "train").to_numpy(), (split == "held-out").to_numpy()
    for name, n_private, least in (("rna", 2, 0.75), ("prot", 1, 0.5)):
        own = mdata[name].obsm["X_clipdim_private"][:, :n_private]

        def told(latents, own=own):
            return LinearRegression().fit(own[train], latents[train]).score(own[held_out], latents[held_out])

        assert told(mdata[name].obsm["private_latent"]) > least
        assert told(mdata.obsm["shared_latent"]) < 0.05


def test_cell_types_that_one_modality_sees_come_back(make_mdata):
    """Two types that differ in the RNA only are mixed in the shared embedding and apart in the complete one."""
    mdata = make_mdata(800, shuffled=False)
    rng = np.random.default_rng(3)
    kind = rng.integers(2, size=800)
    direction = rng.normal(size=12)
    mdata["rna"].X += (6 * kind[:, None] * direction / np.linalg.norm(direction)).astype(np.float32)
    fit(mdata, 6, holdout=0.3, **QUICK)
    private(mdata)
    split = mdata.obs["clipdim_split"]
    train, held_out = (split == "train").to_numpy(), (split == "held-out").to_numpy()
    names = kind.astype(str)

    def accuracy(points):
        found = clipdim.evaluation.knn_labels(points[train], names[train], points[held_out])
        return (found == names[held_out]).mean()

    assert accuracy(mdata.obsm["X_clipdim_complete"]) > accuracy(mdata.obsm["X_clipdim"]) + 0.1


def test_new_cells_have_them_too(fitted, make_mdata):
    private(fitted, n_dims=3)
    again = make_mdata(500, lacking=20)
    embed(again, fitted)
    for name in ("rna", "prot"):
        np.testing.assert_allclose(
            again[name].obsm["X_clipdim_private"], fitted[name].obsm["X_clipdim_private"], atol=1e-4
        )
    np.testing.assert_allclose(again.obsm["X_clipdim_complete"], fitted.obsm["X_clipdim_complete"], atol=1e-4)
    alone = mudata.MuData({"prot": make_mdata(60, seed=1)["prot"]})
    embed(alone, fitted)
    assert alone.obsm["X_clipdim_complete"].shape == (60, 12)
    np.testing.assert_array_equal(alone.obsm["X_clipdim_complete"][:, 6:9], 0)  # of the RNA
    assert alone["prot"].obsm["X_clipdim_private"].shape == (60, 3)


def test_a_new_fit_takes_them_away(fitted):
    private(fitted)
    fit(fitted, 6, max_epochs=1, **QUICK)
    assert "X_clipdim_complete" not in fitted.obsm
    query = fitted.copy()
    del query.uns["clipdim"]
    embed(query, fitted)
    assert "clipdim_embedded" in query.uns
    fit(query, 6, max_epochs=1, **QUICK)
    assert "clipdim_embedded" not in query.uns
    assert "X_clipdim_private" not in fitted["rna"].obsm
    assert "private" not in fitted.uns["clipdim"]


@pytest.mark.parametrize("stale", ["filtered", "overwritten"])
def test_shared_part_is_of_the_modalities_as_they_are(fitted, stale):
    """The joint embedding may be of before a modality was filtered."""
    if stale == "filtered":
        fitted.mod["rna"] = fitted["rna"][:300].copy()
        fitted.update()
    expected = fitted.copy()
    fit_of = {name: expected[name].obsm["X_clipdim"] for name in ("rna", "prot")}
    parts = [pd.DataFrame(fit_of[name], index=fitted[name].obs_names).reindex(fitted.obs_names) for name in fit_of]
    expected.obsm["X_clipdim"] = np.nanmean(parts, axis=0).astype(np.float32)
    if stale == "overwritten":
        fitted.obsm["X_clipdim"] = np.random.default_rng(0).normal(size=(500, 9))
    tables = [private(mdata, n_dims=3) for mdata in (fitted, expected)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)
    np.testing.assert_allclose(fitted.obsm["X_clipdim_complete"], expected.obsm["X_clipdim_complete"], atol=1e-4)
    shared = fitted.obsm["X_clipdim_complete"][:, :6]
    correlation = np.corrcoef(np.hstack([shared, expected.obsm["X_clipdim"]]).T)[:6, 6:]
    np.testing.assert_allclose(np.diag(correlation), 1, atol=1e-4)


def test_embeddings_of_another_width_are_refused(fitted, unchanged):
    fitted["rna"].obsm["X_clipdim"] = fitted["rna"].obsm["X_clipdim"][:, :2]
    with unchanged(fitted), pytest.raises(ValueError, match=r"has shape \(480, 2\), expected .* in 6 columns"):
        private(fitted)


def test_loadings_are_correlations_with_the_own_private_dimensions(fitted):
    private(fitted, n_dims=3)
    table = loadings(fitted, dimensions="private", n_directions=2)
    for name in ("rna", "prot"):
        for direction in (1, 2):
            found = table.query("modality == @name and direction == @direction").set_index("feature")["loading"]
            values = pd.DataFrame(fitted[name].X, columns=fitted[name].var_names)
            position = fitted[name].obsm["X_clipdim_private"][:, direction - 1]
            expected = values.corrwith(pd.Series(position.astype(float)))
            np.testing.assert_allclose(found[expected.index], expected, atol=1e-5)
        own = fitted[name].obsm["X_clipdim_private"].astype(float).var(axis=0)
        shares = table.query("modality == @name").groupby("direction")["variance"].unique().explode()
        np.testing.assert_allclose(shares.astype(float), own[:2] / own.sum())
        assert set(table.query("modality == @name")["n_cells"]) == {fitted[name].n_obs}
    assert table["agreement"].isna().all()
    pd.testing.assert_frame_equal(fitted.uns["clipdim"]["private_loadings"], table)
    axes = pl.loadings(fitted, dimensions="private", n_features=3)
    assert [ax.get_title(loc="left") for ax in axes] == ["rna", "prot"]
    plt.close("all")


def test_loadings_of_earlier_private_dimensions_are_removed(fitted):
    private(fitted, n_dims=3)
    loadings(fitted)
    loadings(fitted, dimensions="private")
    private(fitted, n_dims=2)
    assert "private_loadings" not in fitted.uns["clipdim"]
    assert "loadings" in fitted.uns["clipdim"]


def test_loadings_of_modalities_with_different_numbers_of_private_dimensions(fitted):
    private(fitted)  # 12 of the RNA, 8 of the proteins
    loadings(fitted, dimensions="private", n_directions=12)
    axes = pl.loadings(fitted, dimensions="private", n_features=2, directions=[1, 12])
    strongest = loadings(fitted, dimensions="private", n_directions=12)
    strongest = strongest.query("modality == 'prot' and direction == 1").set_index("feature")["loading"]
    # the strongest of either end of the one column that there is, none for the empty one
    shown = [label.get_text() for label in axes[1].get_yticklabels()]
    assert sorted(shown) == sorted([strongest.idxmin(), strongest.idxmax()])
    with pytest.raises(ValueError, match=r"directions=\[12\]: modality 'prot' has none of them, only 1 to 8"):
        pl.loadings(fitted, dimensions="private", directions=[12])
    plt.close("all")
    with pytest.raises(
        ValueError, match=r"n_directions must be .* at most 12, got 13; there are 12 private dimensions"
    ):
        loadings(fitted, dimensions="private", n_directions=13)


def test_loadings_over_some_cells_leave_the_private_dimensions_as_they_are(fitted):
    private(fitted, n_dims=3)
    stored = fitted["rna"].obsm["X_clipdim_private"].astype(np.float64)
    fitted["rna"].obsm["X_clipdim_private"] = stored.copy()
    loadings(fitted, dimensions="private", cells="held-out")
    np.testing.assert_array_equal(fitted["rna"].obsm["X_clipdim_private"], stored)


def test_loadings_over_too_few_cells_are_refused(fitted, unchanged):
    private(fitted, n_dims=3)
    few = fitted[(fitted.obs["clipdim_split"] == "train").to_numpy()].copy()
    with unchanged(few), pytest.raises(ValueError, match="0 cells of cells='held-out' have 'rna', at least 10"):
        loadings(few, dimensions="private", cells="held-out")


def test_loadings_of_private_dimensions_find_the_features_that_were_simulated_as_private():
    mdata = simulate_citeseq(1_500, 3, n_genes=1_000, n_private_rna=2)
    clipdim.pp.citeseq(mdata)
    fit(mdata, 12, holdout=0.3, **QUICK)
    private(mdata)
    table = loadings(mdata, dimensions="private", n_directions=2).query("modality == 'rna'")
    squared = table.assign(loading=table["loading"] ** 2).groupby("feature", observed=True)["loading"].sum()
    truth = mdata["rna"].varm["loadings"] ** 2
    share = pd.Series(truth[:, 3:].sum(axis=1) / truth.sum(axis=1), index=mdata["rna"].var_names)
    # two of a gene's five latents are private; how strong a correlation is depends on the gene's counts too
    assert share.mean() == pytest.approx(0.4, abs=0.05)
    assert share[squared.nlargest(30).index.astype(str)].mean() > 0.55


def test_loadings_without_private_dimensions_say_what_to_run(fitted):
    with pytest.raises(KeyError, match=r"no private dimensions.*run clipdim.tl.private\(mdata\)"):
        loadings(fitted, dimensions="private")
    with pytest.raises(ValueError, match=r"dimensions must be one of .* got 'own'"):
        loadings(fitted, dimensions="own")
    with pytest.raises(KeyError, match=r'run clipdim.tl.loadings\(mdata, dimensions="private"\)'):
        pl.loadings(fitted, dimensions="private")


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_round_trip(fitted, through_file, assert_same, make_mdata, form):
    private(fitted, n_dims=3)
    again = through_file(fitted, form)
    assert_same(again.uns["clipdim"], fitted.uns["clipdim"])
    new = [make_mdata(50, seed=1) for _ in range(2)]
    embed(new[0], fitted)
    embed(new[1], again)
    np.testing.assert_array_equal(new[0].obsm["X_clipdim_complete"], new[1].obsm["X_clipdim_complete"])


def test_no_more_dimensions_than_features_and_three_modalities(make_mdata):
    mdata = make_mdata(300, names=("rna", "prot", "atac"))
    fit(mdata, 4, max_epochs=2, **QUICK)
    table = private(mdata, n_dims=100)
    assert [mdata[name].obsm["X_clipdim_private"].shape[1] for name in mdata.mod] == [12, 8, 10]
    np.testing.assert_allclose(table["left"], 0, atol=1e-5)
    assert mdata.obsm["X_clipdim_complete"].shape == (300, 34)


def test_a_modality_without_private_signal_warns(fitted, monkeypatch):
    """A real one has some; here the bound is raised to between the two modalities."""
    outside = 1 - private(fitted).set_index("modality")["shared"]
    assert outside["prot"] != outside["rna"]
    monkeypatch.setattr("clipdim.tl._private.NO_SIGNAL", outside.mean())
    with pytest.warns(UserWarning, match="has no private signal") as caught:
        private(fitted)
    assert [f"modality {outside.idxmin()!r}" in str(warning.message) for warning in caught] == [True]
    assert f"{outside.min():.1%} of its variance" in str(caught[0].message)


def change(mdata):
    mdata["rna"].X = mdata["rna"].X + 1


def remove(mdata):
    del mdata.uns["clipdim"]


@pytest.mark.parametrize(
    ("spoil", "arguments", "error", "message"),
    [
        (None, {"n_dims": 0}, ValueError, "n_dims must be an integer of at least 1.*got 0"),
        (None, {"n_dims": 2.5}, TypeError, "got 2.5"),
        (None, {"weight": 0}, ValueError, "weight must be a number above 0, got 0"),
        (None, {"weight": np.inf}, ValueError, "got inf"),
        (None, {"key": "other"}, KeyError, "no fit in"),
        (change, {}, ValueError, "has changed since the fit"),
        (remove, {}, KeyError, "no fit in"),
    ],
)
def test_bad_input_changes_nothing(fitted, unchanged, spoil, arguments, error, message):
    if spoil is not None:
        spoil(fitted)
    with unchanged(fitted), pytest.raises(error, match=message):
        private(fitted, **arguments)


def test_a_representation_that_is_missing_now(make_mdata, unchanged):
    """There is no query, so the message speaks of none."""
    mdata = make_mdata()
    for name in mdata.mod:
        mdata[name].obsm["X_pca"] = mdata[name].X[:, :6].copy()
    fit(mdata, 4, max_epochs=2, **QUICK)
    good = mdata["rna"].obsm["X_pca"]
    mdata["rna"].obsm["X_pca"] = good[:, :4]
    with unchanged(mdata), pytest.raises(ValueError, match=r"has 4 features.*changed since the fit: compute") as error:
        private(mdata)
    assert "query" not in str(error.value)
    mdata["rna"].obsm["X_pca"] = 100 * good
    with unchanged(mdata), pytest.raises(ValueError, match="changed since the fit: compute it as it was") as error:
        private(mdata)
    assert "query" not in str(error.value)
    del mdata["rna"].obsm["X_pca"]
    with unchanged(mdata), pytest.raises(KeyError, match=r"'rna' has no .obsm\['X_pca'\].*citeseq\(mdata\)") as error:
        private(mdata)
    assert "query" not in str(error.value)


def test_what_is_no_mudata_is_refused(fitted):
    with pytest.raises(TypeError, match="expected a MuData, got AnnData"):
        private(fitted["rna"])
