"""Compute-optimal strategies: results of runs, fitting, allocation, baselines."""
