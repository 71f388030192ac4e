"""``python -m runtime`` is ``tokenstack``."""

from runtime.cli import main

if __name__ == "__main__":
    main()
