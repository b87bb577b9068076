"""The numbers: pure functions over arrays, knowing nothing of files, xarray or Dask."""
