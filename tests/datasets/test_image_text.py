import re

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

import clipdim
from clipdim.datasets import image_text


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 1024)), rng.normal(size=(30, 768)).astype(np.float16)


def test_layout(arrays, tmp_path):
    images, texts = arrays
    mdata = image_text(images, texts, labels=["cat", None, "dog"] * 10)
    mdata.write(tmp_path / "pairs.h5mu")
    for found in (mdata, mudata.read(tmp_path / "pairs.h5mu")):
        assert list(found.mod) == ["image", "text"]
        np.testing.assert_array_equal(found["image"].X, images.astype(np.float32))
        np.testing.assert_array_equal(found["text"].X, texts.astype(np.float32))
        assert found["image"].X.dtype == found["text"].X.dtype == np.float32
        assert list(found.obs["label"].cat.categories) == ["cat", "dog"]
        assert found.obs["label"].isna().tolist() == [False, True, False] * 10
        assert found.obs_names[0] == "pair_0"
        assert found["text"].var_names[-1] == "text_768"
        assert dict(found.uns["image_text"]) == {"text_noise": 0.0, "random_state": 0}


def test_labels_are_optional_and_named(arrays):
    assert list(image_text(*arrays).obs) == []
    numbered = image_text(*arrays, labels=pd.Series(np.arange(30) % 2))
    assert numbered.obs["label"].tolist() == ["0", "1"] * 15
    assert image_text(*arrays, labels=["", "a"] * 15).obs["label"].isna().sum() == 15


def test_noise(arrays):
    images, texts = arrays
    state = np.random.get_state()[1].copy()
    mdata, again = (image_text(images, texts, text_noise=0.1, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.testing.assert_array_equal(mdata["text"].X, again["text"].X)
    np.testing.assert_array_equal(mdata["image"].X, images.astype(np.float32))
    assert kstest((mdata["text"].X - texts.astype(np.float32)).ravel() / 0.1, "norm").pvalue > 1e-4
    other = image_text(images, texts, text_noise=0.1, random_state=4)
    assert not np.array_equal(mdata["text"].X, other["text"].X)


def test_given_arrays_are_left_alone(arrays):
    images, texts = (x.astype(np.float32) for x in arrays)
    before = texts.copy()
    image_text(images, texts, text_noise=0.1)["image"].X[:] = 0
    np.testing.assert_array_equal(texts, before)
    assert images.any()


def test_files(arrays, tmp_path):
    paths = [tmp_path / f"{name}.npy" for name in ("images", "texts", "labels")]
    labels = np.array(["cat", "dog", ""] * 10)
    for path, array in zip(paths, (*arrays, labels), strict=True):
        np.save(path, array)
    mdata, expected = image_text(*paths), image_text(*arrays, labels)
    for name in ("image", "text"):
        np.testing.assert_array_equal(mdata[name].X, expected[name].X)
    pd.testing.assert_frame_equal(mdata.obs, expected.obs)
    np.testing.assert_array_equal(image_text(str(paths[0]), arrays[1])["image"].X, expected["image"].X)


def test_can_be_fitted(arrays):
    mdata = image_text(*arrays)
    clipdim.tl.fit(mdata, 4, use_rep="X", max_epochs=1, progress=False, device="cpu")
    assert mdata.obsm["X_clipdim"].shape == (30, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"texts": np.ones((29, 8))}, ValueError, "images has 30 rows and texts 29; row i"),
        ({"labels": ["cat"] * 31}, ValueError, r"labels has shape \(31,\); expected one label for each of the 30"),
        ({"labels": [["cat"]] * 30}, ValueError, r"labels has shape \(30, 1\)"),
        ({"labels": "classes.npy"}, FileNotFoundError, r"labels: there is no file 'classes\.npy'"),
        ({"images": "nowhere/images.npy"}, FileNotFoundError, r"images: there is no file 'nowhere/images\.npy'"),
        ({"images": np.ones(30)}, ValueError, r"images has shape \(30,\); expected \(pairs x dimensions\)"),
        ({"images": np.ones((30, 2, 2))}, ValueError, r"images has shape \(30, 2, 2\)"),
        ({"images": np.ones((0, 5)), "texts": np.ones((0, 5))}, ValueError, r"images has shape \(0, 5\)"),
        ({"texts": np.ones((30, 0))}, ValueError, r"texts has shape \(30, 0\)"),
        ({"texts": [[1.0], [1.0, 2.0]]}, ValueError, "texts is not an array, its rows differ in length"),
        ({"texts": np.full((30, 2), 1e300)}, ValueError, "texts has NaN or infinite values in 30 of 30"),
        ({"texts": np.full((30, 2), "a")}, TypeError, "texts has dtype <U1; expected real numbers"),
        ({"texts": np.ones((30, 2), complex)}, TypeError, "texts has dtype complex128"),
        ({"text_noise": -0.1}, ValueError, r"text_noise .* at least 0, got -0\.1; the paper's is 0\.1"),
        ({"text_noise": np.nan}, ValueError, "text_noise .* got nan"),
        ({"text_noise": "0.1"}, TypeError, "text_noise .* got '0.1'"),
        ({"random_state": -1}, ValueError, "random_state .* at least 0 .* got -1"),
    ],
)
def test_bad_arguments(arrays, arguments, error, match):
    images, texts = arrays
    with pytest.raises(error, match=match):
        image_text(**{"images": images, "texts": texts, **arguments})


def test_nan_names_its_row(arrays):
    images, texts = arrays
    images[[7, 9], 3] = np.nan
    with pytest.raises(ValueError, match=r"images has NaN .* 2 of 30 rows \(first in row 7\); remove these pairs"):
        image_text(images, texts)


def test_bad_files(arrays, tmp_path):
    broken, pickled, archive = (tmp_path / name for name in ("broken.npy", "pickled.npy", "archive.npz"))
    broken.write_text("not an array")
    np.save(pickled, np.array([{"a": 1}], dtype=object))
    np.savez(archive, a=arrays[0])
    for path, match in ((broken, "cannot be read"), (pickled, "cannot be read"), (archive, "archive of several")):
        with pytest.raises(ValueError, match=f"images: .*{re.escape(path.name)}.* {match}|{match}"):
            image_text(path, arrays[1])
