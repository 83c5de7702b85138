import numpy as np
import pytest

from clipdim import _check


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_of_any_kind_become_int(value):
    assert type(_check.integer("k", value, least=1, most=3)) is int


@pytest.mark.parametrize("value", [2.0, "2", True, None, np.bool_(True), float("nan")])
def test_what_is_no_integer_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"k must be an integer of at least 1, got .*; 15 is usual"):
        _check.integer("k", value, least=1, hint="15 is usual")


@pytest.mark.parametrize("value", [0, 4])
def test_an_integer_out_of_range_is_a_value_error(value):
    with pytest.raises(ValueError, match=f"k must be an integer of at least 1 and at most 3, got {value}"):
        _check.integer("k", value, least=1, most=3)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5)])
def test_numbers_of_any_kind_become_float(value):
    assert type(_check.number("share", value, above=0, most=1)) is float


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5]])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="share must be a number at least 0 and below 1"):
        _check.number("share", value, least=0, below=1)


@pytest.mark.parametrize("value", [0, 1.5, float("nan"), float("inf"), -1])
def test_a_number_out_of_range_is_a_value_error(value):
    with pytest.raises(ValueError, match="share must be a number above 0 and at most 1"):
        _check.number("share", value, above=0, most=1)


def test_choice():
    assert _check.choice("cells", "train", ("train", "all")) == "train"
    with pytest.raises(ValueError, match=r"cells must be one of \['train', 'all'\], got 'trian'"):
        _check.choice("cells", "trian", ("train", "all"))
    with pytest.raises(TypeError, match="cells must be one of"):
        _check.choice("cells", 3, ("train", "all"))


def test_slot():
    assert _check.slot("key_added", "fit") == "fit"
    for wrong in ("", "a/b"):
        with pytest.raises(ValueError, match="key_added must be a non-empty string without '/'"):
            _check.slot("key_added", wrong)
    with pytest.raises(TypeError, match="key_added must be"):
        _check.slot("key_added", 3)


def test_seed():
    assert _check.seed(np.uint32(7)) == 7
    for wrong in (-1, 2**63):
        with pytest.raises(ValueError, match="random_state must be an integer of at least 0 and below 2"):
            _check.seed(wrong)
    with pytest.raises(ValueError, match=r"below 2\*\*32"):
        _check.seed(2**32, below=2**32)
    with pytest.raises(TypeError, match="random_state must be an integer"):
        _check.seed(0.5)
