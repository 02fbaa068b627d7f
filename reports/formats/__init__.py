"""How figures and tables are written: SVG, PDF, PNG, LaTeX, CSV, Markdown, the terminal."""
