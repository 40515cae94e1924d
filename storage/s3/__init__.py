"""Stores that lie in a bucket."""
