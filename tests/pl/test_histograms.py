"""Figures of the embedding: similarity and norms."""

import mudata
import numpy as np
import pandas as pd
import pytest

from clipdim import pl


def _histogram(patch):
    """Edges and heights of a step-filled histogram."""
    vertices = patch.get_path().vertices
    edges, heights = vertices[:, 0], vertices[:, 1]
    upper = slice(0, 2 * (len(np.unique(edges)) - 1) + 1)
    edges = np.unique(edges)
    edges[-1] += 1e-5  # the largest value, however it was rounded, belongs to the last bin
    return edges, heights[upper][1::2]


def _embedding(mdata, modality, cells):
    adata = mdata[modality]
    return pd.DataFrame(adata.obsm["X_clipdim"], index=adata.obs_names).loc[cells].to_numpy()


def _cells(mdata, split):
    return mdata.obs_names[mdata.obs["clipdim_split"] == split]


@pytest.mark.parametrize("split", ["held-out", "train"])
def test_similarity_draws_all_pairs_of_few_cells(make_fitted, split):
    mdata = make_fitted(300)
    cells = _cells(mdata, split)
    product = _embedding(mdata, "rna", cells) @ _embedding(mdata, "prot", cells).T
    ax = pl.similarity(mdata, cells=split, bins=30)
    for patch, sample in zip(ax.patches, (product.diagonal(), product[~np.eye(len(cells), dtype=bool)]), strict=True):
        edges, heights = _histogram(patch)
        np.testing.assert_allclose(heights, np.histogram(sample, bins=edges, density=True)[0], rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), product.diagonal().mean(), rtol=1e-5)
    assert ax.get_title(loc="left").startswith(f"{len(cells)} ")


def test_similarity_draws_a_sample_of_many_negatives(make_fitted):
    mdata = make_fitted(2000)
    cells = _cells(mdata, "held-out")
    product = _embedding(mdata, "rna", cells) @ _embedding(mdata, "prot", cells).T
    first, second = (pl.similarity(mdata).patches[1] for _ in range(2))
    edges, heights = _histogram(first)
    np.testing.assert_array_equal(heights, _histogram(second)[1])
    truth = np.histogram(product[~np.eye(len(cells), dtype=bool)], bins=edges, density=True)[0]
    np.testing.assert_allclose(heights, truth, atol=0.05)


def test_similarity_of_three_modalities_has_a_panel_for_each_pair(make_fitted):
    mdata = make_fitted(300, modalities=("rna", "prot", "atac"))
    axes = pl.similarity(mdata)
    assert [ax.get_xlabel().removeprefix("similarity of ") for ax in axes] == [
        "rna and prot",
        "rna and atac",
        "prot and atac",
    ]
    with pytest.raises(ValueError, match="array of 3"):
        pl.similarity(mdata, ax=axes[0])
    assert pl.similarity(mdata, ax=list(axes)).shape == (3,)


def test_norms_draws_the_held_out_cells(fitted):
    ax = pl.norms(fitted)
    for patch, modality in zip(ax.patches, ("rna", "prot"), strict=True):
        norms = fitted[modality].obs.loc[_cells(fitted, "held-out"), "clipdim_norm"]
        edges, heights = _histogram(patch)
        np.testing.assert_allclose(heights, np.histogram(norms, bins=edges, density=True)[0], rtol=0.05, atol=1e-3)
        assert f"{modality} (sd {norms.std(ddof=0):.2f})" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_norms_are_shown_at_their_scale(fitted):
    """A narrow histogram looks narrow: the axis begins at 0 and has 1 in its middle, whatever the norms."""
    for name in ("rna", "prot"):
        fitted[name].obs["clipdim_norm"] = 1 + 0.1 * (fitted[name].obs["clipdim_norm"] - 1)
    assert pl.norms(fitted).get_xlim() == (0, 2)
    fitted["rna"].obs.loc[_cells(fitted, "held-out")[0], "clipdim_norm"] = 5
    assert pl.norms(fitted).get_xlim() == (0, pytest.approx(5.1))


def test_norms_of_several_fits_have_a_panel_each_on_one_axis(fitted, make_fit):
    for name in ("rna", "prot"):
        fitted[name].obs["small_norm"] = 3 * fitted[name].obs["clipdim_norm"]
        fitted[name].obsm["X_small"] = fitted[name].obsm["X_clipdim"]
    fitted.obsm["X_small"], fitted.obs["small_split"] = fitted.obsm["X_clipdim"], fitted.obs["clipdim_split"]
    fitted.uns["small"] = make_fit({"rna": 1, "prot": 1}, 4).to_uns()
    axes = pl.norms(fitted, key=["clipdim", "small"])
    assert [ax.get_title(loc="left").split(",")[0] for ax in axes] == ["out_dim 4", "out_dim 32"]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    for ax, key in zip(axes, ("small", "clipdim"), strict=True):
        norms = fitted["rna"].obs.loc[_cells(fitted, "held-out"), f"{key}_norm"]
        edges, heights = _histogram(ax.patches[0])
        np.testing.assert_allclose(heights, np.histogram(norms, bins=edges, density=True)[0], rtol=0.05, atol=1e-3)
    with pytest.raises(ValueError, match="array of 2"):
        pl.norms(fitted, key=["clipdim", "small"], ax=axes[:1])


def test_cells_that_lack_a_modality_are_left_out(make_fitted):
    whole = make_fitted(300)
    part = mudata.MuData({"rna": whole["rna"].copy(), "prot": whole["prot"][:200].copy()})
    part.uns["clipdim"] = whole.uns["clipdim"]
    split = whole.obs["clipdim_split"].reindex(part.obs_names).astype(object)
    split[~part.obs_names.isin(part["prot"].obs_names)] = np.nan
    part.obs["clipdim_split"] = pd.Categorical(split)
    part.obsm["X_clipdim"] = np.zeros((part.n_obs, 32), dtype=np.float32)
    n_held_out = int((part.obs["clipdim_split"] == "held-out").sum())
    assert pl.similarity(part).get_title(loc="left") == f"{n_held_out} held-out cells"
    assert pl.similarity(part, cells="all").get_title(loc="left") == "200 all cells"
    edges, heights = _histogram(pl.norms(part, cells="all", bins=20).patches[0])
    truth = np.histogram(part["rna"].obs["clipdim_norm"], bins=edges, density=True)[0]
    np.testing.assert_allclose(heights, truth, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("figure", [pl.similarity, pl.norms])
def test_unknown_cells(figure, fitted):
    with pytest.raises(ValueError, match=r"cells='test'.*\['held-out', 'train', 'all'\]"):
        figure(fitted, cells="test")


def test_too_few_cells_for_negatives(make_fitted):
    mdata = make_fitted(100)
    mdata.obs["clipdim_split"] = pd.Categorical(["held-out", *["train"] * 99])
    with pytest.raises(ValueError, match=r"less than 2 have two of the modalities .* try cells='all'"):
        pl.similarity(mdata)
