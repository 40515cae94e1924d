"""Rollouts that other tools stored: a reader for each of their formats, from files to records."""
