"""Mathematics: answers read from boxes or stated in words, graded and grouped by their value."""
