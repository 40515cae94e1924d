"""What a user writes: recipes and the parameters of methods, checked before anything starts."""
