"""Domains: what an answer is, how it is read out of a solution, and when two of them are the same."""
