"""Figures of the report and of pages, with the data behind them."""
