"""The stages of a run, and what executes them: runner, driver, recorder."""
