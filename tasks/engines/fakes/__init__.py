"""Engines without weights, for tests and for drawing a search by hand."""
