"""The parts of `benchmarks/run.py`: each measures one thing, side by side with its peers, and returns its figures."""
