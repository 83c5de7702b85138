"""What `pl.shared_dimension` and `pl.diagnose` show."""

import numpy as np
import pytest

import clipdim
from clipdim import pl


def test_points_lie_above_the_floor_by_their_information(fitted):
    spectrum = fitted.uns["clipdim"]["shared_spectrum"].query("group == 'all'")
    ax = pl.shared_dimension(fitted)
    line = ax.get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), spectrum["information"] + spectrum["chance"])
    counted, others = (container.lines[0].get_xdata().tolist() for container in ax.containers[-2:])
    assert (counted, others) == ([1, 2, 3], [4, 5])
    assert "3 to 4" in ax.get_title(loc="left")


def test_pair_by_name_in_any_order(make_fitted):
    mdata = make_fitted(200, modalities=("rna", "prot", "atac"))
    assert "prot and atac" in pl.shared_dimension(mdata, modalities=["atac", "prot"]).get_title(loc="left")
    with pytest.raises(ValueError, match=r"modalities=\['rna', 'hto'\] were not measured together; there are"):
        pl.shared_dimension(mdata, modalities=["rna", "hto"])


def test_a_line_for_each_group(fitted):
    ax = pl.shared_dimension(fitted, groupby=True)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["B cells: 3 to 4", "CD14+ monocytes: 3 to 4"]


def test_what_was_not_counted_names_the_call(fitted):
    record = fitted.uns["clipdim"]
    table = record["shared_dimension"]
    record["shared_dimension"] = table[table["group"] == "all"]
    with pytest.raises(ValueError, match=r"no groups were measured; run clipdim.tl.shared_dimension\(mdata, groupby"):
        pl.shared_dimension(fitted, groupby=True)
    del record["shared_spectrum"]
    record["shared_dimension"] = table.assign(reading="50 cells are too few.")
    with pytest.raises(ValueError, match=r"50 cells are too few. Run clipdim.tl.shared_dimension"):
        pl.shared_dimension(fitted)
    del record["shared_dimension"]
    with pytest.raises(ValueError, match=r"were not counted; run clipdim.tl.shared_dimension"):
        pl.shared_dimension(fitted)


def test_diagnose_shows_each_reading_in_full_and_the_doubtful_ones_first(fitted):
    with pytest.raises(ValueError, match=r"was not diagnosed; run clipdim.tl.diagnose"):
        pl.diagnose(fitted)
    found = clipdim.tl.diagnose(fitted)
    ax = pl.diagnose(fitted)
    shown = " ".join(text.get_text() for text in ax.texts)
    for check in found.checks.itertuples():
        assert check.check.replace("_", " ") in shown
        assert check.reading in shown
    verdicts = found.checks.set_index("check")["verdict"]
    assert verdicts[ax.texts[0].get_text().replace(" ", "_")] != "ok"
    ax.figure.draw_without_rendering()
    assert ax.figure.get_tightbbox().x1 <= ax.figure.get_size_inches()[0] + 0.02
