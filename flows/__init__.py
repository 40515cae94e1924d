"""What you run: the recipe, one module a flow, and the `overthink` command."""
