"""Training of PRMs. Its modules import torch at their top; flows import them only when they train."""
