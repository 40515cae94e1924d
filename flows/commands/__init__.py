"""The commands of `overthink`, one module per group."""
