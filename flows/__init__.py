"""The flows, one per module, and the `overthink` command."""
