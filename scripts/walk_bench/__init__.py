"""The parts of scripts/bench_walk.py."""
