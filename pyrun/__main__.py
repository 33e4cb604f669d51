"""`python -m pyrun`: the same command line as the launcher's."""

from pyrun.cli.main import run

if __name__ == "__main__":
    run()
