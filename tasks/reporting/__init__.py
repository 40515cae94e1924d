"""Reports from a store: tables, comparisons, plots and pages."""
