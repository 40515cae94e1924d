"""The pages of the reference that are made of the code: recipes, tables, selectors and methods."""
