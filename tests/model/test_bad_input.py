"""What ``ContrastiveEncoders`` refuses, naming the mend and changing nothing, and the devices that names mean."""

import mudata
import pytest
import torch

from clipdim.model import ContrastiveEncoders
from clipdim.model._devices import device_of

QUICK = {"max_epochs": 2, "progress": False, "accelerator": "cpu"}


@pytest.fixture
def set_up(make_mdata):
    mdata = make_mdata()
    ContrastiveEncoders.setup_mudata(mdata)
    return mdata


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (KeyError, {"modalities": ["rna", "atac"]}, r"no modality named \['atac'\]; the MuData has"),
        (ValueError, {"modalities": ["rna"]}, "at least 2 modalities are needed"),
        (
            TypeError,
            {"modalities": {"rna_layer": "rna", "protein_layer": "prot"}},
            r"pass modalities=\['rna', 'prot'\]",
        ),
        (KeyError, {"use_rep": "X_pca"}, r"no .obsm\['X_pca'\].*run clipdim.pp.citeseq\(mdata\)"),
        (KeyError, {"batch_key": "donor"}, "no column 'donor' in mdata.obs"),
        (TypeError, {"batch_key": 3}, "batch_key must be the name of a column"),
    ],
)
def test_setup(make_mdata, unchanged, error, arguments, message):
    mdata = make_mdata()
    with unchanged(mdata), pytest.raises(error, match=message):
        ContrastiveEncoders.setup_mudata(mdata, **arguments)


def test_something_else_than_a_mudata(make_mdata):
    for call in (ContrastiveEncoders.setup_mudata, ContrastiveEncoders):
        with pytest.raises(TypeError, match=r"expected a MuData, got AnnData; .*mudata.MuData\("):
            call(make_mdata()["rna"])


def test_view(set_up):
    for call in (ContrastiveEncoders.setup_mudata, ContrastiveEncoders):
        with pytest.raises(ValueError, match=r"is a view .*mdata = mdata.copy\(\)"):
            call(set_up[:100])


def test_cells_that_cannot_be_paired(make_mdata, unchanged):
    apart = make_mdata(lacking=150)
    with unchanged(apart), pytest.raises(ValueError, match="no cell name in common"):
        ContrastiveEncoders.setup_mudata(apart)


def test_not_set_up(make_mdata, unchanged):
    mdata = make_mdata()
    with (
        unchanged(mdata),
        pytest.raises(KeyError, match=r"call clipdim.model.ContrastiveEncoders.setup_mudata\(mdata\)"),
    ):
        ContrastiveEncoders(mdata)


@pytest.mark.parametrize(
    ("error", "n_latent", "message"),
    [
        (ValueError, 0, "n_latent must be an integer of at least 1, got 0; 32 is"),
        (TypeError, 2.5, "n_latent must be an integer of at least 1, got 2.5"),
        (TypeError, True, "n_latent must be an integer .*got True"),
    ],
)
def test_n_latent(set_up, unchanged, error, n_latent, message):
    with unchanged(set_up), pytest.raises(error, match=message):
        ContrastiveEncoders(set_up, n_latent)


def test_untrained(set_up, unchanged, tmp_path):
    model = ContrastiveEncoders(set_up, 4)
    assert not model.is_trained
    calls = [
        model.get_latent_representation,
        lambda: model.history,
        lambda: model.train_indices,
        lambda: model.validation_indices,
        lambda: model.save(tmp_path / "model"),
    ]
    for call in calls:
        with unchanged(set_up), pytest.raises(RuntimeError, match=r"not trained; call model.train\(\) first"):
            call()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"early_stopping": True}, "early_stopping=True is not available: .*one cycle.*max_epochs"),
        (ValueError, {"accelerator": "tpu"}, r"accelerator must be one of \['auto', 'cpu', 'gpu', .* got 'tpu'"),
        (ValueError, {"devices": 2}, r"devices=2 is not one device; .*torchrun.*tl.fit\(mdata, distributed=True\)"),
        (ValueError, {"devices": -1}, "devices=-1 is not one device"),
        (ValueError, {"devices": [0, 1]}, r"devices=\[0, 1\] is not one device"),
        (ValueError, {"devices": "0,1"}, "devices='0,1' is not one device"),
        (ValueError, {"devices": True}, "devices=True is not one device"),
        (ValueError, {"devices": [0]}, r"devices=\[0\] names a GPU, and accelerator='cpu' has 0 of them"),
        (ValueError, {"train_size": 0}, "train_size must be a number above 0 and at most 1, got 0; a share"),
        (ValueError, {"train_size": 1.1}, "train_size must be"),
        (TypeError, {"train_size": None}, "train_size must be"),
        (TypeError, {"train_size": True}, "train_size must be .* got True"),
        (ValueError, {"train_size": 0.01}, "3 cells are left for training.*clipdim.model: a larger train_size"),
        (ValueError, {"max_epochs": -1}, "max_epochs must be an integer of at least 0"),
        (ValueError, {"random_state": -1}, "random_state must be an integer of at least 0"),
    ],
)
def test_train(set_up, unchanged, error, arguments, message):
    model = ContrastiveEncoders(set_up, 4)
    with unchanged(set_up), pytest.raises(error, match=message):
        model.train(**{**QUICK, **arguments})
    assert not model.is_trained


def test_failed_training_leaves_the_model_as_it_was(set_up, unchanged):
    model = ContrastiveEncoders(set_up, 4, recipe="paper")
    model.train(**QUICK)
    latent = model.get_latent_representation()
    with unchanged(set_up), pytest.raises(ValueError, match="lr must be a number above 0"):
        model.train(**QUICK, lr=-1)
    assert (model.get_latent_representation() == latent).all()


def test_latent_representation(set_up, make_mdata, unchanged):
    model = ContrastiveEncoders(set_up, 4, recipe="paper")
    model.train(**QUICK)
    with unchanged(set_up), pytest.raises(KeyError, match=r"no modality named 'atac'; choose one of \['rna', 'prot'\]"):
        model.get_latent_representation(modality="atac")
    rna = make_mdata()["rna"]
    with pytest.raises(TypeError, match="expected a MuData, got AnnData"):
        model.get_latent_representation(rna)
    only = mudata.MuData({"rna": rna})
    with unchanged(only), pytest.raises(KeyError, match=r"no modality named 'prot'; choose one of \['rna'\]"):
        model.get_latent_representation(only, modality="prot")


@pytest.mark.parametrize(
    ("accelerator", "devices", "cuda", "mps", "expected"),
    [
        ("auto", "auto", 2, False, "auto"),
        ("cpu", 1, 2, False, "cpu"),
        ("gpu", 1, 2, False, "cuda"),
        ("gpu", "auto", 0, True, "mps"),
        ("cuda", [1], 2, False, "cuda:1"),
        ("auto", [1], 2, False, "cuda:1"),
        ("mps", "auto", 0, True, "mps"),
        ("gpu", 1, 0, False, "accelerator='gpu' is not available .* choose 'auto' or 'cpu'"),
        ("mps", 1, 2, False, "accelerator='mps' is not available"),
        ("cuda", [2], 2, False, r"devices=\[2\] names a GPU, and accelerator='cuda' has 2"),
        ("auto", [0], 0, False, r"devices=\[0\] names a GPU, and accelerator='auto' has 0"),
    ],
)
def test_devices(monkeypatch, accelerator, devices, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if " " not in expected:
        assert device_of(accelerator, devices) == expected
        return
    with pytest.raises(ValueError, match=expected):
        device_of(accelerator, devices)
