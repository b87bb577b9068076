"""What is made of a map: COGs, STAC, totals, pictures, the report."""
