"""pyrun: OCI containers without root, without a daemon, without a database.

The package root holds names only: importing it costs nothing, each public name is fetched when first used
(PEP 562), because every `pyrun` command pays for what stands here.
"""

__version__ = "0.1.0"

__all__ = ["RunOptions", "__version__", "create", "pull", "run"]

_HOME = {
    "RunOptions": "pyrun.engine.options",
    "create": "pyrun.engine.run",
    "pull": "pyrun.engine.pull",
    "run": "pyrun.engine.run",
}


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
