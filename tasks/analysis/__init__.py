"""Selectors and estimators: pure functions on arrays."""
