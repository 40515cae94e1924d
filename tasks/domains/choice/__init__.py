"""The domain of multiple choice: letters of options, and the options they stand for."""
