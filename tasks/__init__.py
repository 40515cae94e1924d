"""The stages, and the rooms they are made of: methods, engines, problems, analysis."""
