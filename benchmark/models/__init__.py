"""Networks: building blocks and the model bank."""
