"""Measurements, run by `scripts/bench`. Each module named in `benchmarks.__main__` has a `measure()`."""
