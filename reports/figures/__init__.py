"""What is drawn: one style, and figures with the data behind them."""
