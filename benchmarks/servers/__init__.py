"""Servers on this machine's loopback that tests and benchmarks run against."""
