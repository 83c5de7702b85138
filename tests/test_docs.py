"""Code of the documentation that no page runs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import clipdim

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("first", ["", "cell"])
def test_names_of_cells_in_tables_of_R_stay_text(tmp_path, first):
    code = re.search(
        r"^def read_table.*?(?=\n\n\n)", (DOCS / "coming_from.md").read_text(), flags=re.MULTILINE | re.DOTALL
    ).group()
    names = {"pd": pd}
    exec(code, names)
    (tmp_path / "cells.csv").write_text(f'"{first}","n","donor"\n"001",1,"a"\n"002",2,NA\n"NA",3,"b"\n')
    table = names["read_table"](tmp_path / "cells.csv")
    assert table.index.tolist() == ["001", "002", "NA"]
    assert table.columns.tolist() == ["n", "donor"]
    assert table["n"].tolist() == [1, 2, 3]
    assert table["donor"].isna().tolist() == [False, True, False]


def test_harmony_before_the_fit():
    pytest.importorskip("harmonypy")
    code = re.search(r"^import harmonypy.*?(?=^```)", (DOCS / "atlas.md").read_text(), re.MULTILINE | re.DOTALL).group()
    mdata = clipdim.datasets.simulate_citeseq(300, n_batches=2)
    mdata.obs["donor"] = mdata.obs["batch"]
    clipdim.pp.citeseq(mdata, batch_key="donor")
    exec(code, {"mdata": mdata, "clipdim": clipdim})
    assert mdata.uns["clipdim"]["params"]["use_rep"] == {"rna": "X_pca_harmony", "prot": "X_pca_harmony"}
    assert np.isfinite(mdata.obsm["X_clipdim"]).all()
