"""``python -m palimpsest.benchmark.cli``, for where the command is not on the path."""

from palimpsest_bench import main

if __name__ == "__main__":
    main()
