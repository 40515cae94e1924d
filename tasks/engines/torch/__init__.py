"""PRMs in plain torch."""
