"""An in-process key-value engine that speaks Valkey's commands, in your Python process and on a socket."""

from kvcore._version import VERSION as __version__

__all__ = ["__version__"]
