"""Compute-optimal strategies: outcomes of runs, fitting, allocation, baselines."""
