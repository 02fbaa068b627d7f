"""The formats of figures and tables: SVG, PDF, PNG, LaTeX, CSV, Markdown, the terminal."""
