"""From a recipe to the graph of its stages: identities, completeness, estimates."""
