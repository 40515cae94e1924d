"""The domain of quantities: numbers with units, equal within a tolerance."""
