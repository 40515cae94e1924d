"""Policies and process reward models behind two protocols."""
