"""Data sets as MuData: CITE-seq to download, simulated data whose truth is known, embeddings of images and texts."""

from clipdim.datasets._bmcite import bmcite
from clipdim.datasets._download import DownloadError
from clipdim.datasets._image_text import image_text
from clipdim.datasets._linear import linear
from clipdim.datasets._nonlinear import nonlinear
from clipdim.datasets._pbmc10k import pbmc10k
from clipdim.datasets._pbmc_mosaic import pbmc_mosaic
from clipdim.datasets._simulate_citeseq import simulate_citeseq
from clipdim.datasets._simulate_modalities import simulate_modalities

__all__ = [
    "DownloadError",
    "bmcite",
    "image_text",
    "linear",
    "nonlinear",
    "pbmc10k",
    "pbmc_mosaic",
    "simulate_citeseq",
    "simulate_modalities",
]
