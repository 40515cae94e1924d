"""Prefect's own things: deployments, artifacts, secret blocks, and runs without a server."""
