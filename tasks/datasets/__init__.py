"""Sources of problems and of labelled solutions."""
