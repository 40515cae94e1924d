"""Use of Prefect: deployments, artifacts, secret blocks, and runs without a server."""
