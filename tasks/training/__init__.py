"""Training of PRMs. Its modules import torch at the top; flows import them only for training."""
