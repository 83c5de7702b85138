import matplotlib as mpl
import pytest

from clipdim.pl._style import styled


@pytest.fixture(autouse=True)
def not_interactive():
    before = mpl.is_interactive()
    mpl.interactive(False)
    yield
    mpl.interactive(before)


def test_a_notebook_shows_every_figure():
    """The first figure of a notebook loads its backend, which turns the interactive mode on; it has to stay on."""

    @styled
    def first_figure():
        mpl.interactive(True)
        return "drawn"

    assert first_figure() == "drawn"
    assert mpl.is_interactive()


def test_settings_are_of_the_figure_only():
    before = dict(mpl.rcParams)

    @styled
    def linewidth():
        return mpl.rcParams["lines.linewidth"]

    assert linewidth() == linewidth() == 1.8
    assert dict(mpl.rcParams) == before
    assert not mpl.is_interactive()
