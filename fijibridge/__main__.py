"""``python -m fijibridge``: the command line."""

import os
import sys

if __name__ == "__main__":
    # python -m looks for modules in the present folder first: a typer.py or random.py there is not to be run. Macros
    # start the command line another way, which is safe from the first import on (service.client.STARTER).
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    safe = getattr(sys.flags, "safe_path", False)
    if not safe and sys.path and sys.path[0] == os.getcwd() != package:
        del sys.path[0]

    from fijibridge.frontends.process import run

    run()
