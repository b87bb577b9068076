"""Nets with a branch for each group of covariates: their sets, training, transfer, maps."""
