"""``python -m fijibridge``: the command line."""

import sys

from fijibridge.doors.cli import main

if __name__ == "__main__":
    sys.exit(main())
