"""The commands of `overthink`, one module a group."""
