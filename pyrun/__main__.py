"""`python -m pyrun`: the same command line as the launcher's."""

import sys

from pyrun.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
