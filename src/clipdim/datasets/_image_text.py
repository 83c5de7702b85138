"""Embeddings of images and of their texts as two modalities."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import ArrayLike

from clipdim import _check
from clipdim.datasets._assemble import assemble
from clipdim.datasets._correlated import modality


def image_text(
    images: ArrayLike | str | PathLike,
    texts: ArrayLike | str | PathLike,
    labels: Sequence | np.ndarray | pd.Series | str | PathLike | None = None,
    *,
    text_noise: float = 0.0,
    random_state: int = 0,
) -> MuData:
    """Pair embeddings of images with those of their texts.

    The script ``tutorials/embed_images.py`` computes such embeddings from a folder of images with captions, by the
    vision and the text tower of CLIP ViT-L/14 before their projections: 1,024 and 768 dimensions.

    Parameters
    ----------
    images, texts
        Embeddings, (pairs x dimensions) each, or the path of an .npy file of them. Row i of both is the same pair.
    labels
        One label for each pair, such as the class of the image, or the path of an .npy file of them; may be missing
        (None, NaN or an empty string) for some pairs.
    text_noise
        Standard deviation of the Gaussian noise that is added to every entry of ``texts``. Where many images have the
        same text, as ImageNet's have that of their class, a little noise (the paper: 0.1) keeps equal texts apart,
        between which no dimension can be estimated.
    random_state
        Seed of the noise. Global random state is not touched.

    Returns
    -------
    MuData for ``clipdim.tl.fit(mdata, use_rep="X")`` with

    ``mdata["image"].X``, ``mdata["text"].X``
        embeddings, dense float32
    ``mdata.obs["label"]``
        categorical, if ``labels`` are given
    ``mdata.uns["image_text"]``
        dict with ``text_noise`` and ``random_state``

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    TypeError
        If the embeddings or ``text_noise`` are not real numbers, or ``random_state`` is not an integer.
    ValueError
        If the numbers of rows differ, an array has another number of axes or no row or column, a value is NaN or
        infinite in float32, a file is not an .npy file of plain numbers or strings, or ``text_noise`` or
        ``random_state`` is negative.

    References
    ----------
    Gui, Ma and Ma, NeurIPS 2025, appendices G.6 (ImageNetV2) and G.7 (YFCC).

    Examples
    --------
    >>> import clipdim, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images, texts = rng.normal(size=(6, 1024)), rng.normal(size=(6, 768))
    >>> mdata = clipdim.datasets.image_text(images, texts, labels=["cat", "dog"] * 3, text_noise=0.1)
    >>> mdata["image"].shape, mdata["text"].shape, mdata.obs["label"].tolist()[:2]
    ((6, 1024), (6, 768), ['cat', 'dog'])
    """
    text_noise = _check.number("text_noise", text_noise, least=0, hint="the paper's is 0.1")
    random_state = _check.seed(random_state)
    rng = np.random.default_rng(random_state)
    values = {"image": _embeddings(images, "images"), "text": _embeddings(texts, "texts")}
    n_pairs = len(values["image"])
    if len(values["text"]) != n_pairs:
        msg = f"images has {n_pairs} rows and texts {len(values['text'])}; row i of both must be the same pair"
        raise ValueError(msg)
    pairs = pd.Index([f"pair_{i}" for i in range(n_pairs)])
    obs = pd.DataFrame(index=pairs)
    if labels is not None:
        obs["label"] = _labels(labels, n_pairs)
    if text_noise > 0:
        values["text"] += np.float32(text_noise) * rng.standard_normal(values["text"].shape, dtype=np.float32)
    mdata = assemble({name: modality(name, features, pairs) for name, features in values.items()}, obs)
    mdata.uns["image_text"] = {"text_noise": text_noise, "random_state": random_state}
    return mdata


def _embeddings(given: ArrayLike | str | PathLike, name: str) -> np.ndarray:
    """(pairs x dimensions) finite float32, a copy of what was given."""
    array = _read(given, name)
    if array.ndim != 2 or 0 in array.shape:
        msg = f"{name} has shape {array.shape}; expected (pairs x dimensions) with at least one of each"
        raise ValueError(msg)
    if array.dtype.kind not in "fiu":
        msg = f"{name} has dtype {array.dtype}; expected real numbers"
        raise TypeError(msg)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        msg = (
            f"{name} has NaN or infinite values in {len(bad)} of {len(array)} rows (first in row {bad[0]}); remove "
            "these pairs from images, texts and labels"
        )
        raise ValueError(msg)
    return array


def _labels(given: Sequence | np.ndarray | pd.Series | str | PathLike, n_pairs: int) -> pd.Categorical:
    array = _read(given, "labels")
    if array.shape != (n_pairs,):
        msg = f"labels has shape {array.shape}; expected one label for each of the {n_pairs} pairs"
        raise ValueError(msg)
    # names, since files hold categories of one type only; missing ones stay missing
    absent = pd.isna(array) | (array.astype(object) == "")
    return pd.Categorical([None if missing else str(x) for x, missing in zip(array, absent, strict=True)])


def _read(given: ArrayLike | str | PathLike, name: str) -> np.ndarray:
    if not isinstance(given, str | PathLike):
        try:
            return np.asarray(given)
        except ValueError as error:
            msg = f"{name} is not an array, its rows differ in length: {error}"
            raise ValueError(msg) from None
    path = Path(given).expanduser()
    if not path.is_file():
        msg = f"{name}: there is no file {str(path)!r}; tutorials/embed_images.py writes one"
        raise FileNotFoundError(msg)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        msg = f"{name}: {str(path)!r} cannot be read as an .npy file of numbers or strings: {error}"
        raise ValueError(msg) from None
    if not isinstance(array, np.ndarray):
        array.close()
        msg = f"{name}: {str(path)!r} is an archive of several arrays; save the one with numpy.save"
        raise ValueError(msg)
    return array
