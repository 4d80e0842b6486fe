"""``python -m fijibridge``: the command line."""

from fijibridge.doors.cli import run

if __name__ == "__main__":
    run()
