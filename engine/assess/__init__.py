"""Assessment: splits, cross-validation, scores with intervals over blocks."""
