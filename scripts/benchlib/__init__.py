"""The parts of scripts/bench. They know pyrun only as a program."""
