"""Parquet tables and their schemas, the journal, run manifests, SQL. Imports nothing else of ours."""
