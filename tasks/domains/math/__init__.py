"""Mathematics: answers read from boxes or stated in words, graded and grouped by their value."""

VERSION = 2  # of extraction and grading; enters the key of grade
