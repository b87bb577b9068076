"""Stocks of carbon: densities where none was measured, and totals over zones with intervals."""
