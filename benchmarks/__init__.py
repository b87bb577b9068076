"""One file for each claim about speed or memory; ``python -m benchmarks`` runs them all."""
