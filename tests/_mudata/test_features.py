"""Which values of features are read, and what is said of layers."""

import mudata
import numpy as np
import pytest
from anndata import AnnData

from clipdim._mudata import feature_columns, feature_values


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ("log", KeyError, r"modality 'rna' has no layer 'log', only \['counts'\]; leave layer out for X"),
        (3, TypeError, r"name of a layer, got 3; modality 'rna' has \['counts'\], and X by default"),
    ],
)
def test_unknown_layers_name_those_there_are(mdata, layer, error, message):
    mdata["rna"].layers["counts"] = mdata["rna"].X + 1
    with pytest.raises(error, match=message):
        feature_columns(mdata, "rna", None, layer)
    found = feature_values(mdata, "rna", np.array([1]), "counts")
    np.testing.assert_array_equal(found, mdata["rna"].X[:, [1]] + 1)


def test_without_x_the_layers_are_named(mdata):
    counts = mdata["rna"].X.copy()
    rna = AnnData(obs=mdata["rna"].obs, var=mdata["rna"].var, layers={"counts": counts})
    mdata = mudata.MuData({"rna": rna, "prot": mdata["prot"].copy()})
    with pytest.raises(ValueError, match=r"has no X; name one of its layers \['counts'\]: layer"):
        feature_columns(mdata, "rna", None)
