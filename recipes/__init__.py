"""The recipes that come with Overthink."""
