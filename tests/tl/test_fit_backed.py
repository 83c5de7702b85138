"""An atlas on disk is fitted, measured and embedded while its counts stay there."""

from contextlib import contextmanager

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from clipdim.tl import classify, embed, fit, intrinsic_dimension, match

QUICK = {"max_epochs": 1, "progress": False, "device": "cpu"}
pytestmark = pytest.mark.filterwarnings("ignore:.*autosharding", "ignore:.*Consolidated metadata", "ignore:.*zarr v2")
N_GENES = 700


@pytest.fixture
def atlas(make_mdata):
    """A MuData with counts in ``X`` and ``.raw`` and principal components, in memory."""
    mdata = make_mdata(lacking=20)
    for name, n_features in (("rna", N_GENES), ("prot", 12)):
        adata = mdata[name]
        counts = np.random.default_rng(0).poisson(0.2, (adata.n_obs, n_features)).astype(np.float32)
        counts = sparse.csr_matrix(counts) if name == "rna" else counts
        var = pd.DataFrame(index=[f"{name}{i}" for i in range(n_features)])
        mdata.mod[name] = AnnData(counts, obs=adata.obs, var=var, obsm={"X_pca": adata.X})
        mdata[name].raw = mdata[name]
    mdata.update()
    mdata.obs["cell_type"] = pd.Categorical(np.where(np.arange(mdata.n_obs) % 3, "T", "B"))
    return mdata


def backed(mode):
    def opened(atlas, path):
        atlas.write_h5mu(path / "atlas.h5mu")
        return mudata.read_h5mu(path / "atlas.h5mu", backed=mode)

    return opened


def backed_modalities(atlas, path):
    for name, adata in atlas.mod.items():
        adata.write_h5ad(path / f"{name}.h5ad")
    mdata = mudata.MuData({name: read_h5ad(path / f"{name}.h5ad", backed="r") for name in atlas.mod})
    mdata.obs["cell_type"] = atlas.obs["cell_type"]
    return mdata


def stored_h5(atlas, path):
    atlas.write_h5mu(path / "atlas.h5mu")
    return h5py.File(path / "atlas.h5mu")


def stored_zarr(atlas, path):
    atlas.write_zarr(path / "atlas.zarr")
    return pytest.importorskip("zarr").open(str(path / "atlas.zarr"), mode="r")


def pieces(stored, *, with_x=False):
    """Open what a fit needs, and ``X`` if asked to."""

    def opened(atlas, path):
        store = stored(atlas, path)
        modalities = {}
        for name in ("rna", "prot"):
            group = store[f"mod/{name}"]
            obs, components = read_elem(group["obs"]), group["obsm/X_pca"]
            x = {}
            if with_x:
                x["X"] = sparse_dataset(group["X"]) if name == "rna" else group["X"]
                x["var"] = read_elem(group["var"])
            modalities[name] = AnnData(obs=obs, obsm={"X_pca": components}, **x)
        mdata = mudata.MuData(modalities)
        mdata.obs["cell_type"] = read_elem(store["obs"])["cell_type"]
        return mdata

    return opened


def dask_arrays(atlas, path):
    array = pytest.importorskip("dask.array")

    def unread(block):
        pytest.fail("the counts were computed")

    modalities = {}
    for name, adata in atlas.mod.items():
        x = array.zeros(adata.shape, chunks=100).map_blocks(unread, meta=np.zeros((0, 0)))
        components = array.from_array(adata.obsm["X_pca"], chunks=(100, 5))
        modalities[name] = AnnData(x, obs=adata.obs, var=adata.var, obsm={"X_pca": components})
    mdata = mudata.MuData(modalities)
    mdata.obs["cell_type"] = atlas.obs["cell_type"]
    return mdata


OPENED = {
    "h5mu, r": backed("r"),
    "h5mu, r+": backed("r+"),
    "h5ad": backed_modalities,
    "pieces of h5mu": pieces(stored_h5),
    "pieces of zarr": pieces(stored_zarr),
    "pieces of h5mu with X": pieces(stored_h5, with_x=True),
    "pieces of zarr with X": pieces(stored_zarr, with_x=True),
    "dask": dask_arrays,
}


def by_name(*names):
    return pytest.mark.parametrize("opened", [OPENED[name] for name in names], ids=names)


having_x = by_name("h5mu, r", "pieces of h5mu with X", "pieces of zarr with X")


@pytest.fixture
def counts_unread(monkeypatch):
    """Return a context in which whoever reads numbers of ``X``, ``.raw`` or ``.layers`` fails."""

    @contextmanager
    def context(but=()):
        def guarded(array_type, method):
            read = getattr(array_type, method)

            def wrapped(array, *arguments, **named):
                slots = array.name.removeprefix("/mod").strip("/").split("/")
                is_counts = {"X", "raw", "layers"} & set(slots)
                # the row pointers of a sparse matrix and the annotation of .raw are no counts
                if is_counts and slots[-1] in {"X", "data", "indices"} and "/".join(slots) not in but:
                    pytest.fail(f"{array.name} was read")
                return read(array, *arguments, **named)

            patch.setattr(array_type, method, wrapped)

        with monkeypatch.context() as patch:
            for method in ("__getitem__", "__array__", "read_direct"):
                guarded(h5py.Dataset, method)
            zarr = pytest.importorskip("zarr")
            for method in ("__getitem__", "__array__", "get_basic_selection", "get_orthogonal_selection"):
                guarded(zarr.Array, method)
            yield

    return context


def assert_same_results(found, expected, assert_same):
    assert_same(dict(found.uns["clipdim"]), dict(expected.uns["clipdim"]))
    order = found.obs_names.get_indexer(expected.obs_names)
    np.testing.assert_array_equal(np.asarray(found.obsm["X_clipdim"])[order], expected.obsm["X_clipdim"])
    assert found.obs["clipdim_split"].astype(object).iloc[order].equals(expected.obs["clipdim_split"].astype(object))
    for name in expected.mod:
        np.testing.assert_array_equal(np.asarray(found[name].obsm["X_clipdim"]), expected[name].obsm["X_clipdim"])
        np.testing.assert_array_equal(found[name].obs["clipdim_norm"], expected[name].obs["clipdim_norm"])


@having_x
@pytest.mark.parametrize("name", ["rna", "prot"])
def test_the_guard_guards(atlas, tmp_path, counts_unread, opened, name):
    mdata = opened(atlas, tmp_path)
    with counts_unread(), pytest.raises(pytest.fail.Exception, match="was read"):
        mdata[name].X[:5]


@by_name(*OPENED)
def test_counts_stay_on_disk(atlas, tmp_path, counts_unread, assert_same, opened):
    mdata = opened(atlas, tmp_path)
    fit(atlas, 6, **QUICK)
    with counts_unread():
        fit(mdata, 6, **QUICK)
        dimensions = intrinsic_dimension(mdata)
        matching = match(mdata)
        accuracy = classify(mdata, "cell_type")
    pd.testing.assert_frame_equal(dimensions, intrinsic_dimension(atlas), check_exact=True)
    pd.testing.assert_frame_equal(matching, match(atlas), check_exact=True)
    pd.testing.assert_frame_equal(accuracy, classify(atlas, "cell_type"), check_exact=True)
    assert_same_results(mdata, atlas, assert_same)


@by_name("h5mu, r", "pieces of zarr", "dask")
def test_new_cells_on_disk(atlas, tmp_path, counts_unread, opened):
    fit(atlas, 6, **QUICK)
    query = atlas[:100].copy()
    del query.uns["clipdim"]
    in_memory = embed(query, atlas, copy=True)
    mdata = opened(query, tmp_path)
    with counts_unread():
        embed(mdata, atlas)
    order = mdata.obs_names.get_indexer(in_memory.obs_names)
    np.testing.assert_array_equal(mdata.obsm["X_clipdim"][order], in_memory.obsm["X_clipdim"])


@having_x
def test_x_of_one_modality_is_read_alone(atlas, tmp_path, counts_unread, opened):
    arguments = {"use_rep": "prot:X", **QUICK}
    mdata = opened(atlas, tmp_path)
    fit(atlas, 6, **arguments)
    with counts_unread(but={"prot/X"}):
        fit(mdata, 6, **arguments)
    for name in atlas.mod:
        np.testing.assert_array_equal(mdata[name].obsm["X_clipdim"], atlas[name].obsm["X_clipdim"])
    with counts_unread(), pytest.raises(ValueError, match=f"is sparse with {N_GENES} features, at most 500"):
        fit(mdata, 6, use_rep="rna:X", **QUICK)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_results_are_written_beside_the_counts(atlas, tmp_path, counts_unread, assert_same, mode):
    """``mdata.write()`` without a path adds to the file that backs the MuData."""
    atlas["rna"].layers["spliced"] = atlas["rna"].X.copy()
    mdata = backed(mode)(atlas, tmp_path)
    with counts_unread():
        fit(mdata, 6, **QUICK)
        mdata.write()
    mdata.file.close()
    read = mudata.read_h5mu(tmp_path / "atlas.h5mu")
    for name in atlas.mod:
        for found, expected in ((read[name], atlas[name]), (read[name].raw, atlas[name].raw)):
            assert_same({"": found.X}, {"": expected.X})
    assert_same(dict(read["rna"].layers), dict(atlas["rna"].layers))
    fit(atlas, 6, **QUICK)
    assert_same_results(read, atlas, assert_same)


@pytest.mark.parametrize(
    ("stored", "suffix", "write", "read"),
    [
        (stored_h5, "h5mu", mudata.MuData.write_h5mu, mudata.read_h5mu),
        (stored_zarr, "zarr", mudata.MuData.write_zarr, mudata.read_zarr),
    ],
    ids=["h5mu", "zarr"],
)
def test_fit_in_a_file_of_its_own(atlas, tmp_path, assert_same, stored, suffix, write, read):
    """A MuData without counts is small, and all that ``tl.embed`` needs."""
    mdata = pieces(stored)(atlas, tmp_path)
    fit(mdata, 6, **QUICK)
    write(mdata, tmp_path / f"fit.{suffix}")
    reference = read(tmp_path / f"fit.{suffix}")
    embed(atlas, reference)
    np.testing.assert_allclose(atlas.obsm["X_clipdim"], mdata.obsm["X_clipdim"], atol=1e-5)
    fit(atlas, 6, **QUICK)
    assert_same_results(reference, atlas, assert_same)


@by_name("h5mu, r+", "h5ad", "pieces of h5mu", "pieces of zarr with X")
def test_copy_is_refused_before_the_training(atlas, tmp_path, opened):
    mdata = opened(atlas, tmp_path)
    with pytest.raises(ValueError, match=r"copy=True cannot copy .* lies on disk; leave out copy=True: "):
        fit(mdata, 6, copy=True, **QUICK)
    fit(atlas, 6, **QUICK)
    with pytest.raises(ValueError, match=r"copy=True cannot copy .* lies on disk; leave out copy=True: "):
        embed(mdata, atlas, copy=True)
    assert "X_clipdim" not in mdata.obsm


def test_view_of_a_file(atlas, tmp_path):
    mdata = backed("r")(atlas, tmp_path)
    with pytest.raises(ValueError, match=r"is a view .*call mdata = mdata.copy\('subset.h5mu'\) first"):
        fit(mdata[:200], 6, **QUICK)
    subset = mdata[:200].copy(tmp_path / "subset.h5mu")
    fit(subset, 6, **QUICK)
    assert subset.obsm["X_clipdim"].shape == (200, 6)
