"""Measures of embeddings, and labels of cells by their neighbours, on plain arrays."""

from clipdim.evaluation.calibration import Calibration, Reliability, calibrate, reliability
from clipdim.evaluation.classification import ClassScores, class_scores, knn_labels, label_match
from clipdim.evaluation.imputation import Imputed, Imputer, Source
from clipdim.evaluation.loadings import correlations
from clipdim.evaluation.matching import MatchScores, match_scores, ranks
from clipdim.evaluation.private import PrivateMap
from clipdim.evaluation.ridge import FourierRidge
from clipdim.evaluation.transfer import Votes, votes, votes_among

__all__ = [
    "Calibration",
    "ClassScores",
    "FourierRidge",
    "Imputed",
    "Imputer",
    "MatchScores",
    "PrivateMap",
    "Reliability",
    "Source",
    "Votes",
    "calibrate",
    "class_scores",
    "correlations",
    "knn_labels",
    "label_match",
    "match_scores",
    "ranks",
    "reliability",
    "votes",
    "votes_among",
]
