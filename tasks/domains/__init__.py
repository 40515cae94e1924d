"""Domains: what an answer is, how it is extracted from a solution, and when two answers are equal."""
