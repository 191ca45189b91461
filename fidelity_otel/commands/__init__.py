"""The sub-commands of `fidelity`, one file each: parse, then call."""
