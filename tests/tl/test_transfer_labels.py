import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.spatial.distance import cdist

import clipdim
from clipdim._mudata import read_fit
from clipdim.tl import transfer_labels

CLASSES = ["T", "B", "NK"]


def make_cells(n_cells, seed, *, without=None, spread=1.0):
    """Cells embedded around three centres, as `tl.embed` leaves them; `without` maps a modality to rows it lacks."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=n_cells)
    names = np.array([f"s{seed}_cell{row}" for row in range(n_cells)])
    adatas = {}
    for name in ("rna", "prot"):
        values = np.eye(8)[codes] + spread * rng.normal(size=(n_cells, 8)) / np.sqrt(8)
        order = rng.permutation(np.setdiff1d(np.arange(n_cells), (without or {}).get(name, [])))
        adatas[name] = AnnData(np.ones((len(order), 1), np.float32), obs=pd.DataFrame(index=names[order]))
        adatas[name].var_names = [f"{name}0"]
        adatas[name].obsm["X_clipdim"] = values[order].astype(np.float32)
    mdata = mudata.MuData(adatas)
    mdata.obs["cell_type"] = pd.Categorical(
        pd.Series(np.array(CLASSES)[codes], index=names)[mdata.obs_names], categories=CLASSES
    )
    each = [pd.DataFrame(adata.obsm["X_clipdim"], index=adata.obs_names) for adata in adatas.values()]
    mdata.obsm["X_clipdim"] = pd.concat(each).groupby(level=0).mean().reindex(mdata.obs_names).to_numpy()
    return mdata


@pytest.fixture
def reference(make_fit):
    mdata = make_cells(400, 0)
    held_out = np.random.default_rng(9).uniform(size=400) < 0.4
    mdata.obs["clipdim_split"] = pd.Categorical(np.where(held_out, "held-out", "train"))
    mdata.obs["donor"] = pd.Categorical(np.random.default_rng(8).choice(["a", "b", "c"], 400))
    mdata.uns["clipdim"] = make_fit({"rna": 1, "prot": 1}, 8).to_uns()
    return mdata


def as_query(mdata, reference):
    mdata.obs = mdata.obs.rename(columns={"cell_type": "truth"})
    mdata.uns["clipdim_embedded"] = {"version": "1.0", "fit": read_fit(reference).fingerprint}
    return mdata


@pytest.fixture
def query(reference):
    """All have both modalities, but rows 0 to 19 that lack prot and rows 20 to 49 that lack rna."""
    return as_query(make_cells(150, 1, without={"prot": range(20), "rna": range(20, 50)}), reference)


def rows_of(mdata, name):
    return mdata[name].obs_names.get_indexer(mdata.obs_names)


def embedding_of(mdata, *names):
    return np.mean([mdata[name].obsm["X_clipdim"][rows_of(mdata, name)] for name in names], axis=0)


def naive_labels(points, labels, queries, n_neighbors=15):
    found = []
    for distances in cdist(queries, points):
        nearest = np.argsort(distances)[:n_neighbors]
        weights = np.exp(-2 * (distances[nearest] / distances[nearest][-1]) ** 2)
        found.append(pd.Series(weights).groupby(labels[nearest]).sum().idxmax())
    return np.array(found)


def test_like_is_compared_with_like(query, reference):
    assert transfer_labels(query, reference, "cell_type", min_confidence=0) is None
    has = np.stack([rows_of(query, name) >= 0 for name in ("rna", "prot")], axis=1)
    labels = reference.obs["cell_type"].to_numpy().astype(str)
    for pattern, names in (((True, True), ["rna", "prot"]), ((True, False), ["rna"]), ((False, True), ["prot"])):
        cells = (has == pattern).all(axis=1)
        expected = naive_labels(embedding_of(reference, *names), labels, embedding_of(query, *names)[cells])
        np.testing.assert_array_equal(query.obs["cell_type"][cells], expected)
        assert cells.sum() >= 20


def test_slots(query, reference):
    before = reference.copy()
    transfer_labels(query, reference, "cell_type")
    labels, confidence = query.obs["cell_type"], query.obs["cell_type_confidence"]
    assert labels.cat.categories.tolist() == [*CLASSES, "unassigned"]
    assert labels.notna().all()
    assert confidence.dtype == np.float32
    assert confidence.between(0, 1).all()
    np.testing.assert_array_equal(labels == "unassigned", confidence < 0.5)
    record = query.uns["cell_type_transfer"]
    assert record["fit"] == read_fit(reference).fingerprint
    assert record["params"]["label_key"] == "cell_type"
    table = record["calibration"]
    assert set(table["modalities"]) == {"rna + prot", "rna", "prot"}
    held_out = (reference.obs["clipdim_split"] == "held-out").sum()
    assert table.groupby("modalities")["n_cells"].sum().tolist() == [held_out] * 3
    assert (labels.astype(str) == query.obs["truth"].astype(str)).mean() > 0.8
    pd.testing.assert_frame_equal(reference.obs, before.obs)
    assert set(reference.uns) == set(before.uns)


def test_confidence_is_the_chance_to_be_right(reference):
    query = as_query(make_cells(2_000, 2, spread=1.5), reference)
    noisy = make_cells(2_000, 0, spread=1.5)
    noisy.obs["clipdim_split"] = pd.Categorical(np.where(np.arange(2_000) < 1_500, "held-out", "train"))
    noisy.uns = reference.uns
    transfer_labels(query, noisy, "cell_type", min_confidence=0)
    right = query.obs["cell_type"].astype(str) == query.obs["truth"].astype(str)
    assert 0.6 < right.mean() < 0.95
    assert clipdim.evaluation.reliability(query.obs["cell_type_confidence"], right).expected_error < 0.03


def test_cells_unlike_any_are_less_sure(reference):
    query = as_query(make_cells(200, 3), reference)
    transfer_labels(query, reference, "cell_type", min_confidence=0)
    near = query.obs["cell_type_confidence"].mean()
    for name in ("rna", "prot"):
        query[name].obsm["X_clipdim"] = query[name].obsm["X_clipdim"] - 1
    transfer_labels(query, reference, "cell_type", min_confidence=0)
    assert query.obs["cell_type_confidence"].mean() < near


def test_threshold(query, reference):
    transfer_labels(query, reference, "cell_type", min_confidence=0)
    best, confidence = query.obs["cell_type"].astype(str), query.obs["cell_type_confidence"].copy()
    assert "unassigned" not in set(best)
    transfer_labels(query, reference, "cell_type", min_confidence=0.95)
    expected = best.mask(confidence < np.float32(0.95), "unassigned")
    assert 0 < (expected == "unassigned").sum() < len(expected)
    np.testing.assert_array_equal(query.obs["cell_type"].astype(str), expected)
    np.testing.assert_array_equal(query.obs["cell_type_confidence"], confidence)
    transfer_labels(query, reference, "cell_type", min_confidence=1)
    assert (query.obs["cell_type"] == "unassigned").all()


@pytest.mark.parametrize("modalities", ["rna", ["rna"]])
def test_some_modalities(query, reference, modalities):
    with pytest.warns(UserWarning, match=r"30 of 150 cells have none of the modalities \['rna'\]"):
        transfer_labels(query, reference, "cell_type", modalities=modalities, min_confidence=0)
    cells = rows_of(query, "rna") >= 0
    labels = reference.obs["cell_type"].to_numpy().astype(str)
    expected = naive_labels(embedding_of(reference, "rna"), labels, embedding_of(query, "rna")[cells])
    np.testing.assert_array_equal(query.obs["cell_type"][cells], expected)
    assert query.obs["cell_type"][~cells].isna().all()
    assert query.obs["cell_type_confidence"][~cells].isna().all()


def test_cells_without_an_embedding(reference):
    query = as_query(make_cells(60, 1, without={"prot": range(5), "rna": range(5)}), reference)
    extra = AnnData(np.ones((5, 1), np.float32), obs=pd.DataFrame(index=[f"s1_cell{row}" for row in range(5)]))
    query = mudata.MuData({**query.mod, "atac": extra})
    as_query(query, reference)
    query.obsm["X_clipdim"] = np.full((60, 8), np.nan, dtype=np.float32)
    with pytest.warns(UserWarning, match="5 of 60 cells have none"):
        transfer_labels(query, reference, "cell_type")
    bare = query.obs_names.isin(extra.obs_names)
    np.testing.assert_array_equal(query.obs["cell_type"].isna(), bare)


def test_no_cell_has_the_modalities_together(query, make_fit):
    """No labelled cell has both: then the joint embedding stands in for their mean."""
    mosaic = make_cells(300, 5, without={"rna": range(150), "prot": range(150, 300)})
    mosaic.obs["clipdim_split"] = pd.Categorical([None] * 300, categories=["train", "held-out"])
    mosaic.uns["clipdim"] = make_fit({"rna": 1, "prot": 1}, 8).to_uns()
    transfer_labels(query, mosaic, "cell_type", min_confidence=0)
    cells = (rows_of(query, "rna") >= 0) & (rows_of(query, "prot") >= 0)
    labels = mosaic.obs["cell_type"].to_numpy().astype(str)
    expected = naive_labels(mosaic.obsm["X_clipdim"], labels, embedding_of(query, "rna", "prot")[cells])
    np.testing.assert_array_equal(query.obs["cell_type"][cells], expected)


def test_cells_that_have_all_lack_one_class(query, reference):
    """A class of which no labelled cell has both modalities is found by the joint embedding all the same."""
    of_class = np.flatnonzero(np.random.default_rng(0).integers(3, size=400) == CLASSES.index("NK"))
    mosaic = make_cells(400, 0, without={"rna": of_class[::2], "prot": of_class[1::2]})
    assert set(mosaic.obs.loc[[f"s0_cell{row}" for row in of_class], "cell_type"]) == {"NK"}
    mosaic.obs["clipdim_split"], mosaic.uns = reference.obs["clipdim_split"], reference.uns
    transfer_labels(query, mosaic, "cell_type", min_confidence=0)
    cells = (rows_of(query, "rna") >= 0) & (rows_of(query, "prot") >= 0)
    labels = mosaic.obs["cell_type"].to_numpy().astype(str)
    expected = naive_labels(mosaic.obsm["X_clipdim"], labels, embedding_of(query, "rna", "prot")[cells])
    assert "NK" in expected
    np.testing.assert_array_equal(query.obs["cell_type"][cells], expected)


def test_all_cells_that_were_not_trained_on_calibrate(query, reference):
    split = np.repeat(["train", "held-out", "norm set", ""], [240, 100, 40, 20])
    reference.obs["clipdim_split"] = pd.Categorical(split, categories=["train", "held-out", "norm set"])
    transfer_labels(query, reference, "cell_type")
    sizes = query.uns["cell_type_transfer"]["calibration"].groupby("modalities")["n_cells"].sum()
    assert sizes.to_dict() == {"rna": 160, "prot": 160, "rna + prot": 160}


@pytest.mark.parametrize("batch_key", ["donor", ["donor", "lane"], np.array(["donor"], dtype=object)])
def test_batches_are_predicted_from_other_batches(query, reference, batch_key):
    reference.obs["lane"] = "1"
    # within a donor the type is plain to see, from donor to donor it is not
    shift = {"a": 0.0, "b": 8.0, "c": 16.0}
    for name in ("rna", "prot"):
        donor = reference.obs["donor"].astype(str)[reference[name].obs_names].map(shift).to_numpy()
        turned = np.roll(reference[name].obsm["X_clipdim"], 1, axis=1)
        values = np.where((donor > 0)[:, None], turned, reference[name].obsm["X_clipdim"])
        reference[name].obsm["X_clipdim"] = (values + donor[:, None]).astype(np.float32)
    transfer_labels(query, reference, "cell_type", min_confidence=0)
    within = query.uns["cell_type_transfer"]["calibration"]
    reference.uns["clipdim"]["params"]["batch_key"] = batch_key
    transfer_labels(query, reference, "cell_type", min_confidence=0)
    across = query.uns["cell_type_transfer"]["calibration"]
    means = [np.average(table["accuracy"], weights=table["n_cells"]) for table in (within, across)]
    assert means[0] > 0.9
    assert means[1] < 0.7


def test_same_seed_same_labels_and_global_state(query, reference, monkeypatch):
    monkeypatch.setattr("clipdim.tl._transfer_labels.MAX_CALIBRATION_CELLS", 110)
    state = np.random.get_state()[1].copy()
    first, second, other = (
        transfer_labels(query, reference, "cell_type", random_state=seed, copy=True) for seed in (3, 3, 4)
    )
    pd.testing.assert_frame_equal(first.obs, second.obs)
    assert not np.array_equal(first.obs["cell_type_confidence"], other.obs["cell_type_confidence"])
    assert first.uns["cell_type_transfer"]["calibration"].groupby("modalities")["n_cells"].sum().tolist() == [110] * 3
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_copy(query, reference, unchanged):
    with unchanged(query):
        copied = transfer_labels(query, reference, "cell_type", copy=True)
    transfer_labels(query, reference, "cell_type")
    pd.testing.assert_series_equal(copied.obs["cell_type"], query.obs["cell_type"])


@pytest.mark.parametrize("form", ["h5mu", "zarr"])
def test_round_trip(query, reference, through_file, assert_same, form):
    transfer_labels(query, reference, "cell_type")
    reference.uns["clipdim"]["params"]["batch_key"] = np.array(["donor"], dtype=object)
    again, stored = (through_file(mdata, form) for mdata in (query, reference))
    assert_same(again.uns["cell_type_transfer"], query.uns["cell_type_transfer"])
    np.testing.assert_array_equal(again.obs["cell_type"].astype(str), query.obs["cell_type"].astype(str))
    np.testing.assert_array_equal(again.obs["cell_type_confidence"], query.obs["cell_type_confidence"])
    transfer_labels(query, reference, "cell_type")
    transfer_labels(again, stored, "cell_type")  # what this function wrote may be replaced
    np.testing.assert_array_equal(again.obs["cell_type_confidence"], query.obs["cell_type_confidence"])


def test_labels_missing_in_the_reference(query, reference):
    reference.obs["cell_type"] = reference.obs["cell_type"].where(np.arange(400) >= 40)
    with pytest.warns(UserWarning, match="40 of 400 cells of the reference have no 'cell_type' and do not vote"):
        transfer_labels(query, reference, "cell_type", min_confidence=0)
    labelled = np.arange(400) >= 40
    cells = (rows_of(query, "rna") >= 0) & (rows_of(query, "prot") >= 0)
    labels = reference.obs["cell_type"].to_numpy(dtype=object)[labelled].astype(str)
    expected = naive_labels(
        embedding_of(reference, "rna", "prot")[labelled], labels, embedding_of(query, "rna", "prot")[cells]
    )
    np.testing.assert_array_equal(query.obs["cell_type"][cells], expected)


def test_nothing_held_out(query, reference):
    reference.obs["clipdim_split"] = pd.Categorical(["train"] * 400)
    with pytest.warns(UserWarning, match="0 labelled cells of the reference were held out of training") as warned:
        transfer_labels(query, reference, "cell_type")
    assert len(warned) == 1


@pytest.mark.parametrize("as_column", [lambda s: s.astype(str), lambda s: s.cat.codes, lambda s: s.cat.codes + 0.0])
def test_other_types_of_labels(query, reference, as_column):
    expected = transfer_labels(query, reference, "cell_type", copy=True, min_confidence=0).obs["cell_type"]
    reference["rna"].obs["label"] = as_column(reference.obs["cell_type"])[reference["rna"].obs_names]
    transfer_labels(query, reference, "label", min_confidence=0)
    names = dict(zip(expected.astype(str), query.obs["label"].astype(str), strict=True))
    assert len(names) == 3
    np.testing.assert_array_equal(expected.astype(str).map(names), query.obs["label"].astype(str))


def test_end_to_end(make_mdata):
    reference, query = make_mdata(400), make_mdata(150, seed=1)
    for mdata in (reference, query):
        mdata["rna"].obs["sign"] = np.where(mdata["rna"].X[:, 0] > 0, "up", "down")
    clipdim.tl.fit(reference, 6, max_epochs=4, holdout=0.4, progress=False, device="cpu")
    clipdim.tl.embed(query, reference)
    transfer_labels(query, reference, "sign", key_added="guess", min_confidence=0)
    truth = query["rna"].obs["sign"][query.obs_names]
    assert (query.obs["guess"].astype(str) == truth).mean() > 0.8


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"label_key": "nothing"}, KeyError, "no column 'nothing'"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors must be an integer of at least 1, got 0"),
        ({"n_neighbors": 2.5}, TypeError, "n_neighbors must be .*got 2.5"),
        ({"min_confidence": 1.2}, ValueError, "min_confidence must be a number at least 0 and at most 1, got 1.2"),
        ({"min_confidence": -0.1}, ValueError, "min_confidence must be .* got -0.1"),
        ({"min_confidence": "high"}, TypeError, "min_confidence must be .* got 'high'"),
        ({"modalities": ["atac"]}, KeyError, "must be some of those that the query was embedded with: rna, prot"),
        ({"modalities": []}, KeyError, "must be some of"),
        ({"key": "other"}, KeyError, "no fit"),
        ({"key_added": "truth"}, ValueError, "'truth' already.*key_added='truth_transferred'"),
        ({"key_added": ""}, ValueError, "key_added must be a non-empty string"),
        ({"key_added": "a/b"}, ValueError, "key_added must be a non-empty string without '/'"),
        ({"label_key": "one"}, ValueError, "'one' has 1 classes"),
        ({"label_key": "score"}, ValueError, "fractions, not classes"),
    ],
)
def test_bad_arguments(query, reference, unchanged, arguments, error, message):
    reference.obs["one"] = "a"
    reference.obs["score"] = np.linspace(0, 1, 400)
    with unchanged(query), unchanged(reference), pytest.raises(error, match=message):
        transfer_labels(query, reference, **{"label_key": "cell_type", **arguments})


def test_own_confidence_column_is_kept(query, reference, unchanged):
    query.obs["cell_type_confidence"] = 1.0
    with unchanged(query), pytest.raises(ValueError, match="'cell_type_confidence' already"):
        transfer_labels(query, reference, "cell_type")


def test_queries_that_do_not_belong(query, reference, unchanged):
    with pytest.raises(TypeError, match="MuData"):
        transfer_labels(query["rna"], reference, "cell_type")
    with pytest.raises(TypeError, match="MuData"):
        transfer_labels(query, reference["rna"], "cell_type")
    with pytest.raises(ValueError, match="view"):
        transfer_labels(query[:50], reference, "cell_type")
    query.uns["clipdim_embedded"]["fit"] = "another"
    with unchanged(query), pytest.raises(ValueError, match=r"not made by the encoders.*clipdim\.tl\.embed"):
        transfer_labels(query, reference, "cell_type")
    del query.obsm["X_clipdim"]
    with unchanged(query), pytest.raises(KeyError, match=r"clipdim\.tl\.embed"):
        transfer_labels(query, reference, "cell_type")
