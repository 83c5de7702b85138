"""Measures of embeddings as plain arrays, and the small learners of the embedding."""

from typing import TYPE_CHECKING

from clipdim._lazy import attach

__all__ = [
    "ClassScores",
    "MatchScores",
    "Reliability",
    "class_scores",
    "knn_labels",
    "label_match",
    "match_scores",
    "ranks",
    "reliability",
]

if TYPE_CHECKING:
    from clipdim.evaluation.calibration import Reliability, reliability
    from clipdim.evaluation.classification import ClassScores, class_scores, knn_labels, label_match
    from clipdim.evaluation.matching import MatchScores, match_scores, ranks
else:  # a type checker that saw this would take any name for one of the package
    __getattr__, __dir__ = attach(
        __name__,
        {
            "ClassScores": "classification",
            "MatchScores": "matching",
            "Reliability": "calibration",
            "class_scores": "classification",
            "knn_labels": "classification",
            "label_match": "classification",
            "match_scores": "matching",
            "ranks": "matching",
            "reliability": "calibration",
        },
    )
