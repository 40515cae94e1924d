"""The embedded tiny models, and the code that trains them: `python -m overthink.zoo`."""
