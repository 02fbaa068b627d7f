"""``python -m palimpsest``: the command."""

from palimpsest.benchmark.cli import main

if __name__ == "__main__":
    main()
