"""A run as a data set for others: its tables, its card, and its upload to the Hugging Face hub."""
