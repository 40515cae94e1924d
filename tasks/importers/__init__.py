"""Readers of rollouts that other tools stored, one for each format."""
