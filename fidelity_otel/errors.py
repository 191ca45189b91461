"""Every error that this project raises on purpose.

    FidelityError
    ├── ConfigError        a setting or the configuration file is wrong (exit code 2)
    ├── InputError         a file, row or argument is wrong (exit code 2)
    │   ├── WireError      bytes that are not OTLP
    │   └── DesignError    a sampling design that cannot give the estimate asked for
    ├── NotEnabled         an integration's library is absent or too old
    ├── StoreError         the store cannot be read or written
    │   ├── NotFound       no such trace, item or outcome
    │   └── StoreBusy      another process holds the store; retry later
    ├── JournalError       the journal cannot be written or is damaged
    │   └── JournalFull    its disk budget is used up; retry later
    ├── NotAllowed         the person's role does not include this
    ├── Overloaded         too much in flight; retry later
    └── LeaseError         a verdict on a lease that is expired, unknown or someone else's

Each message says what is wrong, where, and how to mend it.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DesignError",
    "FidelityError",
    "InputError",
    "JournalError",
    "JournalFull",
    "LeaseError",
    "NotAllowed",
    "NotEnabled",
    "NotFound",
    "Overloaded",
    "StoreBusy",
    "StoreError",
    "WireError",
]


class FidelityError(Exception):
    """Base of all errors of this package."""


class ConfigError(FidelityError):
    """A setting, or a line of the configuration file, is wrong."""


class InputError(FidelityError):
    """A file, a row or an argument that a user gave is wrong."""


class WireError(InputError):
    """Bytes that are not the OTLP message they claim to be."""


class DesignError(InputError):
    """The sampling design described by the data cannot give the estimate asked for."""


class NotEnabled(FidelityError):
    """An integration cannot be turned on: its library is absent or too old."""


class StoreError(FidelityError):
    """The store cannot be opened, read or written."""


class NotFound(StoreError):
    """Nothing is stored under this id."""


class StoreBusy(StoreError):
    """Another process holds the store for longer than we wait; nothing was changed, retry."""


class JournalError(FidelityError):
    """The journal cannot be written, or holds a damaged record."""


class JournalFull(JournalError):
    """The journal's disk budget is used up; the sender should retry later."""


class NotAllowed(FidelityError):
    """Somebody asks for what their role does not include."""


class Overloaded(FidelityError):
    """Too many bytes are in flight; the sender should retry after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LeaseError(FidelityError):
    """A verdict was given on a lease that is expired, unknown or held by someone else."""
