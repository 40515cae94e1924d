"""What is read back from a store: tables, comparisons, plots and pages."""
