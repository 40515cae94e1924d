"""From a recipe to the stages it stands on: identities, completeness, estimates."""
