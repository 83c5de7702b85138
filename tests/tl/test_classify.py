import mudata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from clipdim.tl import classify


def accuracy(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    return table["accuracy"].item()


def test_joint_knn_equals_scikit_learn(hand_made_fit):
    mdata, rna, prot, split = hand_made_fit
    joint, types = (rna + prot) / 2, mdata.obs["cell_type"].to_numpy().astype(str)
    train = split == "train"
    knn = KNeighborsClassifier(7)
    predicted = knn.fit(joint[train], types[train]).predict(joint[~train])
    alone = cross_val_predict(KNeighborsClassifier(7), joint[train], types[train], cv=LeaveOneOut())
    table = classify(mdata, "cell_type", n_neighbors=7)
    joint_rows = table[table["method"] == "joint k-NN"]
    held_out = {"split": "held-out", "kind": "overall"}
    assert accuracy(joint_rows, **held_out) == pytest.approx(np.mean(predicted == types[~train]))
    assert accuracy(joint_rows, split="train", kind="overall") == pytest.approx(np.mean(alone == types[train]))
    balanced = balanced_accuracy_score(types[~train], predicted)
    assert accuracy(joint_rows, split="held-out", kind="balanced") == pytest.approx(balanced)
    of_b = np.mean(predicted[types[~train] == "B"] == "B")
    assert accuracy(joint_rows, split="held-out", kind="class", label="B") == pytest.approx(of_b)
    confusion = mdata.uns["clipdim"]["confusion"].query("split == 'held-out' and method == 'joint k-NN'")
    counts = confusion.pivot(index="label", columns="predicted", values="n_cells").fillna(0)
    np.testing.assert_array_equal(counts, confusion_matrix(types[~train], predicted))


def test_label_match_in_both_directions(hand_made_fit):
    mdata, rna, prot, split = hand_made_fit
    types = mdata.obs["cell_type"].to_numpy().astype(str)
    table = classify(mdata, "cell_type")
    for name in ("held-out", "train"):
        cells = split == name
        for method, u, v in (("rna to prot", rna, prot), ("prot to rna", prot, rna)):
            best = np.argmax(u[cells] @ v[cells].T, axis=1)
            expected = np.mean(types[cells][best] == types[cells])
            assert accuracy(table, split=name, method=method, kind="overall") == pytest.approx(expected)


def test_random_cells_are_predicted_from_all(hand_made_fit):
    mdata, rna, prot, split = hand_made_fit
    joint, types = (rna + prot) / 2, mdata.obs["cell_type"].to_numpy().astype(str)
    train = split == "train"
    table = classify(mdata, "cell_type", n_queries=25, random_state=4)
    rows = np.sort(np.random.default_rng(4).choice((~train).sum(), 25, replace=False))
    predicted = KNeighborsClassifier(15).fit(joint[train], types[train]).predict(joint[~train][rows])
    found = accuracy(table, split="held-out", method="joint k-NN", kind="overall")
    assert found == pytest.approx(np.mean(predicted == types[~train][rows]))
    best = np.argmax(rna[~train][rows] @ prot[~train].T, axis=1)
    found = accuracy(table, split="held-out", method="rna to prot", kind="overall")
    assert found == pytest.approx(np.mean(types[~train][best] == types[~train][rows]))
    assert set(table.loc[table["kind"] == "overall", "n_cells"]) == {25}
    assert mdata.uns["clipdim"]["confusion"]["n_cells"].sum() == 6 * 25
    pd.testing.assert_frame_equal(classify(mdata, "cell_type", n_queries=None), classify(mdata, "cell_type"))


def test_columns_and_counts(hand_made_fit):
    mdata, _, _, split = hand_made_fit
    table = classify(mdata, "cell_type")
    assert list(table.columns) == ["label_key", "split", "method", "kind", "label", "accuracy", "n_cells"]
    overall = table[table["kind"] == "overall"]
    assert len(overall) == 6
    per_class = table[table["kind"] == "class"].groupby(["split", "method"])["n_cells"].sum()
    assert per_class["held-out"].tolist() == [(split == "held-out").sum()] * 3
    confusion = mdata.uns["clipdim"]["confusion"]
    assert list(confusion.columns) == ["label_key", "split", "method", "label", "predicted", "n_cells"]
    assert confusion["n_cells"].sum() == 3 * mdata.n_obs


def test_second_label_key_is_added_and_same_one_replaced(hand_made_fit, tmp_path):
    mdata = hand_made_fit[0]
    mdata.obs["coarse"] = np.where(mdata.obs["cell_type"] == "T", 1, 0)
    first = classify(mdata, "cell_type")
    mdata.write_h5mu(tmp_path / "m.h5mu")
    mdata = mudata.read_h5mu(tmp_path / "m.h5mu")
    second = classify(mdata, "coarse")
    assert set(second.loc[second["kind"] == "class", "label"]) == {"0", "1"}
    classify(mdata, "cell_type")
    stored = mdata.uns["clipdim"]["classify"]
    pd.testing.assert_frame_equal(stored, pd.concat([second, first], ignore_index=True))
    mdata.write_h5mu(tmp_path / "again.h5mu")
    again = mudata.read_h5mu(tmp_path / "again.h5mu").uns["clipdim"]
    np.testing.assert_array_equal(again["classify"]["accuracy"], stored["accuracy"])
    assert len(again["confusion"]) == len(mdata.uns["clipdim"]["confusion"])


def test_labels_of_a_modality_and_other_types(hand_made_fit):
    mdata = hand_made_fit[0]
    expected = classify(mdata, "cell_type")
    text = mdata.obs["cell_type"].astype(str)
    mdata["rna"].obs["in_rna"] = text.reindex(mdata["rna"].obs_names)
    mdata.obs["number"] = text.map({"B": 0.0, "NK": 1.0, "T": 2.0})
    for column in ("in_rna", "number"):
        np.testing.assert_array_equal(classify(mdata, column)["accuracy"], expected["accuracy"])
    assert set(classify(mdata, "number").query("kind == 'class'")["label"]) == {"0", "1", "2"}


def test_missing_labels_are_left_out(hand_made_fit):
    mdata = hand_made_fit[0]
    mdata.obs["cell_type"] = mdata.obs["cell_type"].where(np.arange(mdata.n_obs) >= 12)
    with pytest.warns(UserWarning, match="12 of 160 cells have no 'cell_type'"):
        table = classify(mdata, "cell_type")
    overall = table[(table["kind"] == "overall") & (table["method"] == "joint k-NN")]
    assert overall["n_cells"].sum() == 148


def test_class_with_one_cell(hand_made_fit):
    mdata, _, _, split = hand_made_fit
    labels = mdata.obs["cell_type"].astype(str).to_numpy()
    labels[np.flatnonzero(split == "held-out")[0]] = "rare"
    mdata.obs["cell_type"] = labels
    table = classify(mdata, "cell_type")
    assert accuracy(table, split="held-out", method="joint k-NN", label="rare") == 0
    assert table.loc[table["label"] == "rare", "n_cells"].unique().tolist() == [1]


def test_cells_of_the_norm_set_neither_vote_nor_count(hand_made_fit):
    mdata, rna, prot, split = hand_made_fit
    joint, types = (rna + prot) / 2, mdata.obs["cell_type"].to_numpy().astype(str)
    norm_set = np.arange(160) % 3 == 0
    split[norm_set] = "norm set"
    mdata.obs["clipdim_split"] = pd.Categorical(split)
    mdata.obs["cell_type"] = np.where(norm_set, "B", types)  # would outvote the others
    table = classify(mdata, "cell_type")
    train, held_out = split == "train", split == "held-out"
    predicted = KNeighborsClassifier(15).fit(joint[train], types[train]).predict(joint[held_out])
    found = accuracy(table, split="held-out", method="joint k-NN", kind="overall")
    assert found == pytest.approx(np.mean(predicted == types[held_out]))
    overall = table[table["kind"] == "overall"].groupby("split")["n_cells"].unique()
    assert overall.map(list).to_dict() == {"held-out": [held_out.sum()], "train": [train.sum()]}


def test_nothing_held_out(hand_made_fit):
    mdata = hand_made_fit[0]
    mdata.obs["clipdim_split"] = pd.Categorical(["train"] * mdata.n_obs)
    with pytest.warns(UserWarning, match="no labelled cell was held out"):
        table = classify(mdata, "cell_type")
    assert set(table["split"]) == {"train"}


def test_errors(hand_made_fit):
    mdata = hand_made_fit[0]
    with pytest.raises(KeyError, match="cell_type"):
        classify(mdata, "nothing")
    mdata.obs["one"] = "a"
    with pytest.raises(ValueError, match="'one' has 1 classes"):
        classify(mdata, "one")
    mdata.obs["score"] = np.linspace(0, 1, mdata.n_obs)
    with pytest.raises(ValueError, match="fractions, not classes"):
        classify(mdata, "score")
    with pytest.raises(ValueError, match="n_neighbors must be an integer of at least 1, got 0"):
        classify(mdata, "cell_type", n_neighbors=0)
    with pytest.raises(ValueError, match="n_queries must be an integer of at least 1, got -1"):
        classify(mdata, "cell_type", n_queries=-1)
    with pytest.raises(ValueError, match="view"):
        classify(mdata[:50], "cell_type")
    with pytest.raises(KeyError, match=r"clipdim\.tl\.fit"):
        classify(mdata, "cell_type", key="other")
    assert "classify" not in mdata.uns["clipdim"]
