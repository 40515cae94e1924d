"""PRM families as data, and how they read and score."""
