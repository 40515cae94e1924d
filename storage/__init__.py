"""Parquet tables and their schemas, the journal, run manifests, SQL. Imports no other package of Overthink."""
