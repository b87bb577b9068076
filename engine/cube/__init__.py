"""The cube: covariates at native resolution, read onto any grid."""
