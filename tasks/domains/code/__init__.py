"""The domain of programs that tests grade."""
