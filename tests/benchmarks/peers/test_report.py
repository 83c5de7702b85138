"""Tables, figures, and scores that are taken of kept embeddings."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import clusters, data, figures, leiden, report, run, scib


def fits(*rows):
    default = {"data": "small", "seed": 0, "threads": 1, "error": np.nan, "cpu_seconds": 2.0, "peak_gib": 1.0}
    return pd.DataFrame([{**default, **row} for row in rows])


def test_the_table_has_means_over_seeds_and_the_best_in_bold():
    table = fits(
        {"peer": "clipdim", "15-NN accuracy": 0.9, "FOSCTTM": 0.1},
        {"peer": "clipdim", "15-NN accuracy": 0.8, "FOSCTTM": 0.2, "seed": 1, "cpu_seconds": 4.0},
        {"peer": "clipdim", "seconds": 1.5, "threads": 2},
        {"peer": "CCA", "15-NN accuracy": 0.7, "FOSCTTM": 0.05},
        {"peer": "totalVI", "error": "not installed: scvi"},
        {"peer": "scVI + clipdim", "error": "not installed: scvi"},
        {"peer": "WNN", "error": "ValueError: no"},
    )
    shown = report._scores(table).set_index("")
    assert shown.index.tolist() == ["clipdim", "CCA (1 of 2 seeds)"]
    missing = "WNN (ValueError: no), scVI + clipdim and totalVI (not installed: scvi)"
    assert report._failures(table) == f"Not in the table: {missing}. "
    assert report._failures(table[table["error"].isna()]) == ""
    for nothing in (table[table["error"].notna()], table[table["threads"] == 2]):
        assert report._scores(nothing).to_dict() == {"no fit on one core": {}}
    assert report._failures(nothing) == ""
    assert shown.loc["clipdim", ["15-NN accuracy", "FOSCTTM"]].tolist() == ["**.850**", ".150"]
    assert shown.loc["clipdim", ["seconds, 1 core", "2 cores"]].tolist() == ["2", "1.5"]
    assert shown.loc["CCA (1 of 2 seeds)", ["15-NN accuracy", "FOSCTTM", "2 cores"]].tolist() == [
        ".700",
        "**.050**",
        "-",
    ]


@pytest.fixture
def kept(cells, small, monkeypatch):
    """Results of three fits with one seed: an embedding that has the types, noise, and one that was scored before."""
    done = {"bio conservation": 0.25, "ARI": 0.25}
    monkeypatch.setitem(data.DATA, "small", replace(small, batch=None))
    results = run.Results(quick=True)
    rng = np.random.default_rng(0)
    codes = cells.obs["cell_type"].astype("category").cat.codes.to_numpy()
    of_types = 10 * np.eye(codes.max() + 1)[codes] + rng.normal(size=(400, codes.max() + 1))
    for name, joint in {"CCA": of_types, "MOFA+": rng.normal(size=(400, 5)), "totalVI": of_types}.items():
        row = {"data": "small", "peer": name, "seed": 0, "threads": 1}
        np.savez(results.embedding(row), joint=joint, cells=cells.obs_names.to_numpy(dtype=str))
        results.add({**row, "error": np.nan, "seconds": 1.0, **(done if name == "totalVI" else {})})
    return results


def test_clusters_are_scored_where_they_are_missing(kept, monkeypatch):
    pytest.importorskip("igraph")
    monkeypatch.setattr(leiden, "RESOLUTIONS", [0.1, 0.5])
    monkeypatch.setattr(leiden, "SEEDS", range(2))
    clusters.score(kept)
    found = kept.table().set_index("peer")
    assert found.loc["CCA", ["ARI", "NMI"]].tolist() == [1, 1]
    assert abs(found.loc["MOFA+", "ARI"]) < 0.1
    assert found.loc["totalVI", "ARI"] == 0.25
    assert len(found) == 3


@pytest.mark.slow
def test_scores_of_scib_metrics_are_added_where_they_are_missing(kept):
    pytest.importorskip("scib_metrics")
    scib.score(kept)
    found = kept.table().set_index("peer")["bio conservation"]
    assert found["CCA"] > found["MOFA+"] + 0.2
    assert found["totalVI"] == 0.25


def test_a_umap_that_a_peer_gives_is_drawn_and_one_that_is_missing_is_said(kept, cells, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figures, "SHOWN", ("WNN",))
    monkeypatch.setattr(figures, "DRAWN", ("small",))
    row, path = {"data": "small", "peer": "WNN", "seed": 0, "threads": 1}, tmp_path / "umap.png"
    kept.add({**row, "error": np.nan, "seconds": 1.0})
    figures.draw_embeddings(kept, path)
    assert "WNN of small was not kept" in capsys.readouterr().out
    assert not path.exists()
    coordinates = np.random.default_rng(0).normal(size=(400, 2))
    np.savez(kept.embedding(row), umap=coordinates, cells=cells.obs_names.to_numpy(dtype=str))
    drawn = []
    monkeypatch.setattr(figures.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    figures.draw_embeddings(kept, path)
    np.testing.assert_array_equal(drawn[0].axes[0].collections[0].get_offsets(), coordinates)


def test_the_scatter_has_a_panel_for_each_data_set(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(figures.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    points = {"pbmc10k": (2.0, 0.9), "small": (4.0, 0.8), "simulated": (0.0, 0.7)}
    rows = [
        {"data": data, "peer": peer, "cpu_seconds": seconds, "15-NN accuracy": accuracy}
        for data, (seconds, accuracy) in points.items()
        for peer in ("CCA", "clipdim")
    ]
    figures.draw_scatter(fits(*rows, {"data": "small", "peer": "WNN", "error": "ValueError: no"}), tmp_path / "no.png")
    shown = {axes.get_title(): axes.collections[0].get_offsets().data.tolist() for axes in drawn[0].axes}
    assert shown == {"pbmc10k": [[2.0, 0.9]], "small": [[4.0, 0.8]], "simulated": [[figures.INSTANT, 0.7]]}
    assert [text.get_text() for text in drawn[0].legends[0].texts] == ["clipdim", "CCA"]
