"""Track hands live, or through a file: ``python run_live.py --help``."""

from tracker.__main__ import live

if __name__ == "__main__":
    live()
