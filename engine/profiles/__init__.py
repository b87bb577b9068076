"""Soil profiles: readers, units, quality assurance, duplicates, weights."""
