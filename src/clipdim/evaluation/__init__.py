"""Measures of embeddings, on plain arrays."""

from clipdim.evaluation.classification import ClassScores, class_scores, knn_labels, label_match
from clipdim.evaluation.matching import MatchScores, match_scores, ranks

__all__ = ["ClassScores", "MatchScores", "class_scores", "knn_labels", "label_match", "match_scores", "ranks"]
