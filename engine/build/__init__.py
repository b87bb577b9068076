"""Building cubes: sources put in order, derivatives, blocks written as Dask tasks."""
