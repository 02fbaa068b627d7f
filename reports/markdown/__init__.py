"""Written pages: all numbers, tables and figures come from the store."""
