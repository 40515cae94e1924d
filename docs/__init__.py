"""What makes the pages of this folder that are generated."""
