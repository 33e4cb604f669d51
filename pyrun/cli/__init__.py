"""The command line: parse, call the engine, print. No decisions are made here, and only here does pyrun print."""
