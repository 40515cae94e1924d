"""Test-time compute for small language models: sample, score, search, select, grade."""
