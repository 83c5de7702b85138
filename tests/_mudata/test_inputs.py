import mudata
import numpy as np
import pandas as pd
import pytest

from clipdim._mudata import Inputs, read_inputs


@pytest.fixture
def make(adata):
    """Return a function that makes two modalities of cells from ``first`` on, their values telling the cells apart."""

    def mdata(n_cells=100, *, lacking=0, order_seed=0):
        rng = np.random.default_rng(order_seed)
        modalities = {}
        for place, name in enumerate(("rna", "prot")):
            numbers = rng.permutation(n_cells - lacking) + place * lacking
            values = np.c_[numbers, numbers**2 + place].astype(float) + 0.5
            modalities[name] = adata([f"cell{number}" for number in numbers], values, prefix=name)
        return mudata.MuData(modalities)

    return mdata


def read(mdata, **arguments) -> Inputs:
    defaults = {
        "modalities": None,
        "use_rep": None,
        "batch_key": None,
        "holdout": 0.2,
        "norm_fraction": 0.0,
        "random_state": 0,
    }
    return read_inputs(mdata, **{**defaults, **arguments})


def test_the_modalities_that_most_cells_have(adata):
    """And the cells that have them, with others or not."""
    has = {"rna": range(100), "prot": range(20), "atac": range(10, 80)}
    mdata = mudata.MuData(
        {
            name: adata([f"cell{i}" for i in cells], np.arange(3.0 * len(cells)).reshape(-1, 3) + 0.5, prefix=name)
            for name, cells in has.items()
        }
    )
    inputs = read(mdata, holdout=0)
    names, cells = inputs.commonest(inputs.train)
    assert names == ["rna", "atac"]
    assert set(mdata.obs_names[cells]) == {f"cell{i}" for i in has["atac"]}
    few = inputs.train[[name in {f"cell{i}" for i in range(13)} for name in mdata.obs_names[inputs.train]]]
    names, cells = inputs.commonest(few)
    assert names == ["rna", "prot"]
    assert set(cells) == set(few)


@pytest.mark.parametrize("norm_fraction", [0.0, 0.25])
def test_split(make, norm_fraction):
    mdata = make(120, lacking=20)
    inputs = read(mdata, norm_fraction=norm_fraction)
    cells = np.concatenate([inputs.train, inputs.held_out, inputs.norm_set])
    paired = set(mdata["rna"].obs_names) & set(mdata["prot"].obs_names)
    assert len(paired) == 80
    assert len(cells) == len(set(cells)) == 80
    assert set(mdata.obs_names[cells]) == paired
    assert len(inputs.held_out) == 16
    assert len(inputs.norm_set) == norm_fraction * 64
    assert all((np.diff(part) > 0).all() for part in (inputs.train, inputs.held_out))


def test_split_column(make):
    mdata = make(120, lacking=20)
    inputs = read(mdata, norm_fraction=0.25)
    split = pd.Series(inputs.split(), index=mdata.obs_names)
    assert split.cat.categories.tolist() == ["train", "held-out", "norm set"]
    assert split.isna().sum() == 40
    for name, cells in (("train", inputs.train), ("held-out", inputs.held_out), ("norm set", inputs.norm_set)):
        assert set(split.index[split == name]) == set(mdata.obs_names[cells])
    assert read(mdata).split().categories.tolist() == ["train", "held-out"]


def test_rows_are_the_same_cell_in_all(make):
    inputs = read(make(120, lacking=20))
    chosen, rows = inputs.of(inputs.train)
    assert rows is None
    np.testing.assert_array_equal(chosen["rna"][:, 0], chosen["prot"][:, 0])
    assert chosen["rna"].dtype == np.float32


def test_seed_of_the_split(make):
    held_out = [read(make(), random_state=seed).held_out.tolist() for seed in (0, 0, 1)]
    assert held_out[0] == held_out[1] != held_out[2]


def test_small_norm_set_has_a_cell(make):
    assert len(read(make(20), holdout=0, norm_fraction=0.01).norm_set) == 1


def test_batches(make):
    mdata = make(120, lacking=20)
    numbers = pd.Series(mdata.obs_names.str.removeprefix("cell").astype(int), index=mdata.obs_names)
    mdata.obs["donor"] = np.where(numbers % 3, "x", "y")
    inputs = read(mdata, batch_key="donor")
    assert len(inputs.batches) == mdata.n_obs
    assert len(pd.crosstab(inputs.batches, mdata.obs["donor"]).to_numpy().nonzero()[0]) == 2
    assert read(mdata).batches is None


def test_batch_may_be_missing_where_it_is_not_used(make):
    mdata = make(120, lacking=20)
    paired = mdata.obs_names.isin(mdata["rna"].obs_names) & mdata.obs_names.isin(mdata["prot"].obs_names)
    mdata.obs["donor"] = pd.Series("x", index=mdata.obs_names).where(paired)
    assert set(read(mdata, batch_key="donor").batches[paired]) == {0}
    mdata.obs.loc[mdata.obs_names[paired][:3], "donor"] = None
    with pytest.raises(ValueError, match=r"batch_key='donor' is missing for 3 of 80 paired cells; fill it, .*fillna"):
        read(mdata, batch_key="donor")


def test_the_mend_of_a_missing_batch_works(make):
    mdata = make()
    mdata.obs["donor"] = pd.Categorical(["x", None] * 50)
    with pytest.raises(ValueError, match=r"mdata.obs\['donor'\] = ") as error:
        read(mdata, batch_key="donor")
    exec(str(error.value).split("for instance ")[1], {"mdata": mdata})
    assert set(read(mdata, batch_key="donor").batches) == {0, 1}


def test_batch_of_one_cell_each(make):
    mdata = make()
    mdata.obs["donor"] = mdata.obs_names
    with pytest.raises(ValueError, match="a value of its own for every cell"):
        read(mdata, batch_key="donor")


def test_no_cell_in_common(make, adata):
    mdata = mudata.MuData({"rna": make()["rna"], "prot": adata([f"other{i}" for i in range(50)], prefix="prot")})
    with pytest.raises(ValueError, match=r"no cell name in common, for instance .*other0.* mudata.MuData\(mdata.mod\)"):
        read(mdata)


def test_too_few_cells(make):
    with pytest.raises(ValueError, match=r"9 cells are left for training .*pass more cells or a smaller holdout"):
        read(make(11))
    assert len(read(make(10), holdout=0).train) == 10
    with pytest.raises(ValueError, match="5 cells are left"):
        read(make(), holdout=0.95)
    with pytest.raises(ValueError, match=r"are needed; pass more cells$"):
        read(make(9), holdout=0)


@pytest.mark.filterwarnings("ignore:.*constant")
def test_the_mend_of_cells_without_a_modality_keeps_all_that_have_one(make, adata):
    parts = dict(make(120, lacking=20).mod)
    mdata = mudata.MuData({**parts, "atac": adata([f"cell{i}" for i in range(150)], prefix="atac")})
    with pytest.warns(UserWarning, match="30 cells have none of the modalities") as caught:
        read(mdata, modalities=["rna", "prot"])
    mend = str(caught[0].message).split("leave them out with ")[1].removeprefix("mdata = ")
    left = eval(mend, {"mdata": mdata})
    assert left.obs_names.tolist() == [name for name in mdata.obs_names if int(name.removeprefix("cell")) < 120]
    assert len(read(left, modalities=["rna", "prot"]).train) == 64


def test_constant_features(make):
    mdata = make()
    mdata["prot"].X[:, 1] = 3
    with pytest.warns(UserWarning, match="1 of 2 features of 'X' of modality 'prot' are constant"):
        read(mdata)
    mdata["prot"].X[:] = 0
    with pytest.raises(ValueError, match=r"every feature of 'X' of modality 'prot' is constant .*all zero"):
        read(mdata)


def test_features_that_vary_in_held_out_cells_only(make):
    mdata = make()
    held_out = mdata.obs_names[read(mdata).held_out]
    mdata["prot"].X[:] = mdata["prot"].obs_names.isin(held_out)[:, None]
    with pytest.raises(ValueError, match="constant over the training cells"):
        read(mdata)
