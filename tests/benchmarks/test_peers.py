"""The comparison with other tools goes on where a peer cannot, and scores what there is to score."""

import contextlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy.stats import multivariate_normal, norm
from sklearn.neighbors import KNeighborsClassifier

import clipdim

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def peers(monkeypatch, tmp_path):
    """The modules of the comparison, with one small data set and results in a temporary folder."""
    before = set(sys.modules)
    for folder in (FOLDER, FOLDER / "peers"):
        monkeypatch.syspath_prepend(str(folder))
    import data
    import peer
    import run

    def cells():
        return clipdim.datasets.simulate_citeseq(400, 3, n_genes=100, n_batches=2)

    monkeypatch.setitem(data.DATA, "small", data.Data(cells, "cell_type", "batch", "the truth"))
    monkeypatch.setitem(data.DATA, "unlabelled", data.Data(cells, None, None, "nothing"))
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    yield {"data": data, "peer": peer, "run": run}
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def job(tmp_path, **changes):
    default = {"peer": "concatenated PCA", "data": "small", "seed": 0, "threads": 1, "quick": False, "seconds": None}
    return {**default, "path": str(tmp_path / "embedding.npz"), **changes}


def test_new_cells_are_scored_from_known_ones(peers, tmp_path):
    scores = peers["run"].measure(job(tmp_path))
    with np.load(tmp_path / "embedding.npz") as kept:
        joint, names = kept["joint"], kept["cells"]
    labels = clipdim.datasets.simulate_citeseq(400, 3, n_genes=100, n_batches=2).obs["cell_type"][names]
    expected = KNeighborsClassifier(15).fit(joint[:280], labels[:280]).score(joint[280:], labels[280:])
    assert scores["15-NN accuracy"] == pytest.approx(expected, abs=0.02)
    assert {"seconds", "cpu_seconds", "peak_gib", "15-NN accuracy, balanced", "run named"} <= set(scores)


def test_no_labels_and_no_batches(peers, tmp_path):
    scores = peers["run"].measure(job(tmp_path, data="unlabelled"))
    assert set(scores) == {"seconds", "cpu_seconds", "peak_gib"}


def test_a_peer_that_is_not_installed_is_named(peers, tmp_path, monkeypatch):
    monkeypatch.setitem(peers["peer"].MODULES, "absent", "no_such_peer")
    scores = peers["run"].measure(job(tmp_path, peer="absent"))
    assert "not installed" in scores["error"]
    assert "no_such_peer" in scores["error"]


def test_a_peer_that_cannot_use_the_data_says_why(peers, tmp_path, monkeypatch):
    data = peers["data"]
    without = data.Data(data.DATA["small"].load, "cell_type", None, "the truth", has_counts=False)
    monkeypatch.setitem(data.DATA, "small", without)
    pytest.importorskip("scvi")
    assert peers["run"].measure(job(tmp_path, peer="totalVI"))["error"] == "cannot run: no RNA counts"


def test_a_failed_fit_is_a_row_with_its_error_and_can_be_run_again(peers, capsys):
    results = peers["run"].Results(quick=True)
    row = {"data": "no such data", "peer": "CCA", "seed": 0, "threads": 1}
    peers["run"].fit(row, results, timeout=60)
    assert not results.has(row)
    assert "no such data" in results.outcome(row)
    results.add({**row, "error": np.nan, "seconds": 1.0})
    assert results.has(row)
    assert len(results.table()) == 1


def test_a_fit_that_is_run_again_takes_the_place_of_the_earlier_one(peers):
    results = peers["run"].Results(quick=True)
    row = {"data": "small", "peer": "CCA", "seed": 0, "threads": 1, "error": np.nan}
    results.add({**row, "cpu_seconds": 2.0, "15-NN accuracy": 0.7, "ARI": 0.5})
    results.add({**row, "cpu_seconds": 3.0, "15-NN accuracy": 0.8})
    results.add({**row, "NMI": 0.4}, keep=True)
    found = results.table().iloc[0]
    assert found[["cpu_seconds", "15-NN accuracy", "NMI"]].tolist() == [3.0, 0.8, 0.4]
    assert np.isnan(found["ARI"])


def test_canonical_variates_match_by_the_likelihood_ratio_of_their_model(peers, monkeypatch):
    import cca

    monkeypatch.setattr(cca, "N_COMPONENTS", 4)
    known, new = data_split(peers)
    job = peers["peer"].Job(known, new, peers["data"].DATA["small"], 0, 1, quick=False)
    components = cca.PEER.prepare(job)
    fitted = cca.fit(job, components)
    vectors = list(cca.embed(job, components, fitted).modalities.values())
    rho, n = fitted[1], known.n_obs
    x, y = (z[n : n + 5] for z in cca._standardized(fitted[0].transform(*components.values()), n))
    ratios = vectors[0][n : n + 5] @ vectors[1][n : n + 5].T
    pairs = [multivariate_normal([0, 0], [[1, r], [r, 1]]) for r in rho]
    expected = [
        [
            sum(p.logpdf([a, b]) - norm.logpdf(a) - norm.logpdf(b) for p, a, b in zip(pairs, u, v, strict=True))
            for v in y
        ]
        for u in x
    ]
    np.testing.assert_allclose(ratios, np.array(expected) - np.sum(-np.log(1 - rho**2) / 2), atol=1e-6)


def test_harmony_takes_batches_away_and_needs_them(peers, tmp_path, monkeypatch):
    pytest.importorskip("harmonypy")
    import harmony
    from data import split

    data, measure = peers["data"], peers["run"].measure
    cells = peers["peer"].Job(*split(data.DATA["small"], 0, quick=False), data.DATA["small"], 0, 1, quick=False)
    batches = np.concatenate([part.obs["batch"] for part in (cells.known, cells.new)])
    rng = np.random.default_rng(0)
    types = rng.integers(3, size=len(batches))
    values = rng.normal(size=(len(batches), 5)) + 8 * np.eye(5)[types]
    values[batches == batches[0], 4] += 3
    corrected = harmony.correct(cells, values)
    for names, kept in ((batches, False), (types, True)):
        known, new = slice(cells.known.n_obs), slice(cells.known.n_obs, None)
        named = KNeighborsClassifier(15).fit(corrected[known], names[known]).score(corrected[new], names[new])
        assert named > 0.95 if kept else named < 0.7
    scores = measure(job(tmp_path, peer="Harmony + clipdim"))
    assert {"15-NN accuracy", "top-0.5 %", "run named"} <= set(scores)
    monkeypatch.setitem(data.DATA, "small", data.Data(data.DATA["small"].load, "cell_type", None, "the truth"))
    for name in ("Harmony", "Harmony + clipdim"):
        assert measure(job(tmp_path, peer=name))["error"].startswith("cannot run: no batches")


def test_corrected_components_keep_to_their_cells(peers, monkeypatch):
    """Whatever the order of the cells in a modality."""
    pytest.importorskip("harmonypy")
    import harmony
    import harmony_clipdim

    def shuffled(part, seed):
        prot = part["prot"]
        prot = prot[np.random.default_rng(seed).permutation(prot.n_obs)].copy()
        found = MuData({"rna": part["rna"].copy(), "prot": prot})
        found.obs = part.obs.loc[found.obs_names]
        return found

    known, new = (shuffled(part, seed) for seed, part in enumerate(data_split(peers)))
    seen = []

    def doubled(job, values):
        seen.append(values)
        return values * 2

    monkeypatch.setattr(harmony, "correct", doubled)
    monkeypatch.setattr(clipdim.tl, "fit", lambda *args, **kwargs: None)
    cells = peers["peer"].Job(known, new, peers["data"].DATA["small"], 0, 1, quick=False)
    harmony_clipdim.PEER.prepare(cells)
    harmony_clipdim.PEER.fit(cells, None)
    for part in (known, new):
        for adata in part.mod.values():
            np.testing.assert_array_equal(adata.obsm["X_pca_harmony"], adata.obsm["X_pca"] * 2)
    # Harmony sees the cells in the order of the batches that it is told
    for values, adata in zip(seen, known.mod.values(), strict=True):
        np.testing.assert_array_equal(values[0], adata[known.obs_names[0]].obsm["X_pca"][0])


@pytest.mark.slow
def test_new_cells_on_the_weights_of_mofa(peers):
    pytest.importorskip("mofapy2")
    import mofa

    known, new = data_split(peers)
    job = peers["peer"].Job(known, new, peers["data"].DATA["small"], 0, 1, quick=False)
    prepared = mofa.PEER.prepare(job)
    fitted = mofa.fit(job, prepared)
    found = mofa.embed(job, prepared, fitted)
    factors = fitted.obsm["X_mofa"]
    used = factors.std(axis=0) > 0.1
    for mine, its in zip(found.joint[: known.n_obs, used].T, factors[:, used].T, strict=True):
        assert np.corrcoef(mine, its)[0, 1] > 0.95
    assert found.joint.shape[0] == 400
    assert all(np.allclose(np.linalg.norm(x, axis=1), 1) for x in found.modalities.values())


def data_split(peers):
    data = peers["data"]
    return data.split(data.DATA["small"], 0, quick=False)


def test_a_peer_that_was_not_installed_is_run_again(peers):
    results = peers["run"].Results(quick=True)
    row = {"data": "small", "peer": "CCA", "seed": 0, "threads": 1}
    assert not results.has(row)
    results.add({**row, "error": "not installed: no module"})
    assert not results.has(row)
    results.add({**row, "error": "cannot run: no RNA counts"})
    assert results.has(row)


def test_a_fit_that_takes_too_long_is_given_up(peers, capsys):
    results = peers["run"].Results(quick=True)
    row = {"data": "pbmc10k", "peer": "CCA", "seed": 0, "threads": 1}
    peers["run"].fit(row, results, timeout=0.1)
    assert results.outcome(row) == "given up after 0 s"
    assert results.has(row)


@pytest.fixture
def command(peers):
    spec = importlib.util.spec_from_file_location("peers_command", FOLDER / "peers" / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cells_that_cannot_be_read_are_left_out(command, peers, monkeypatch, capsys):
    def offline():
        msg = "no network"
        raise clipdim.datasets.DownloadError(msg)

    found, small = [], peers["data"].DATA["small"]
    for module in (peers["data"], command):
        monkeypatch.setattr(module, "DATA", {"away": replace(small, load=offline), "near": small, "here": small})
    monkeypatch.setattr(command.run, "fit", lambda row, results, timeout: found.append(row["data"]))
    monkeypatch.setattr(command.run.Results, "has", lambda *_: bool(found))
    for asked, run in ((["--quick"], ["near"]), ([], ["near", "here"])):
        found.clear()
        monkeypatch.setattr(sys, "argv", ["peers", "--no-report", "--seeds", "0", "--peers", "CCA", *asked])
        command.main()
        assert found == run
        assert "away is left out: no network" in capsys.readouterr().out


def test_the_command_fails_if_a_fit_does_and_runs_it_again(command, monkeypatch):
    asked = {"--quick": None, "--no-report": None, "--data": "simulated", "--peers": "CCA"}
    monkeypatch.setattr(sys, "argv", ["peers", *(text for pair in asked.items() for text in pair if text)])
    for error, exits in (("ValueError: no", True), ("not installed: cca", False), (np.nan, False), (None, True)):
        # the last time nothing is written, which is no success either
        def fit(row, results, timeout, error=error):
            results.path.unlink(missing_ok=True)
            if error is not None:
                results.add({**row, "error": error})

        monkeypatch.setattr(command.run, "fit", fit)
        with pytest.raises(SystemExit, match=r"CCA.*failed") if exits else contextlib.nullcontext():
            command.main()


def fits(*rows):
    default = {"data": "small", "seed": 0, "threads": 1, "error": np.nan, "cpu_seconds": 2.0, "peak_gib": 1.0}
    return pd.DataFrame([{**default, **row} for row in rows])


def test_the_table_has_means_over_seeds_and_the_best_in_bold(peers):
    import report

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
def kept(peers, monkeypatch):
    """Results of three fits with one seed: an embedding that has the types, noise, and one that was scored before."""
    data, done = peers["data"], {"bio conservation": 0.25, "ARI": 0.25}
    monkeypatch.setitem(data.DATA, "small", data.Data(data.DATA["small"].load, "cell_type", None, "the truth"))
    results = peers["run"].Results(quick=True)
    cells = data.DATA["small"].load()
    rng = np.random.default_rng(0)
    codes = cells.obs["cell_type"].astype("category").cat.codes.to_numpy()
    of_types = 10 * np.eye(codes.max() + 1)[codes] + rng.normal(size=(400, codes.max() + 1))
    for name, joint in {"CCA": of_types, "MOFA+": rng.normal(size=(400, 5)), "totalVI": of_types}.items():
        row = {"data": "small", "peer": name, "seed": 0, "threads": 1}
        np.savez(results.embedding(row), joint=joint, cells=cells.obs_names.to_numpy(dtype=str))
        results.add({**row, "error": np.nan, "seconds": 1.0, **(done if name == "totalVI" else {})})
    return results


def test_clusters_are_scored_where_they_are_missing(kept):
    pytest.importorskip("igraph")
    import clusters

    clusters.score(kept)
    found = kept.table().set_index("peer")
    assert found.loc["CCA", ["ARI", "NMI"]].tolist() == [1, 1]
    assert abs(found.loc["MOFA+", "ARI"]) < 0.1
    assert found.loc["totalVI", "ARI"] == 0.25
    assert len(found) == 3


def test_a_umap_that_a_peer_gives_is_drawn_and_one_that_is_missing_is_said(kept, tmp_path, monkeypatch, capsys):
    import figures

    monkeypatch.setattr(figures, "SHOWN", ("WNN",))
    monkeypatch.setattr(figures, "DRAWN", ("small",))
    row, path = {"data": "small", "peer": "WNN", "seed": 0, "threads": 1}, tmp_path / "umap.png"
    kept.add({**row, "error": np.nan, "seconds": 1.0})
    figures.draw_embeddings(kept, path)
    assert "WNN of small was not kept" in capsys.readouterr().out
    assert not path.exists()
    cells = clipdim.datasets.simulate_citeseq(400, 3, n_genes=100, n_batches=2).obs_names
    coordinates = np.random.default_rng(0).normal(size=(400, 2))
    np.savez(kept.embedding(row), umap=coordinates, cells=np.array(cells, dtype=str))
    drawn = []
    monkeypatch.setattr(figures.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    figures.draw_embeddings(kept, path)
    np.testing.assert_array_equal(drawn[0].axes[0].collections[0].get_offsets(), coordinates)


@pytest.mark.slow
def test_scores_of_scib_metrics_are_added_where_they_are_missing(kept):
    pytest.importorskip("scib_metrics")
    import scib

    scib.score(kept)
    found = kept.table().set_index("peer")["bio conservation"]
    assert found["CCA"] > found["MOFA+"] + 0.2
    assert found["totalVI"] == 0.25


def test_the_scatter_has_a_panel_for_each_data_set(peers, monkeypatch, tmp_path):
    import figures

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
