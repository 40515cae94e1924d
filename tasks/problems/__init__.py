"""Data sets, prompts, answer extraction, and when two answers are equal."""
