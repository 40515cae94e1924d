"""The report of one or several runs: its figures, its tables, and the page."""
