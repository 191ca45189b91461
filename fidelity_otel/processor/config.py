"""The effective settings: defaults, one YAML file, environment, command line, each with its source.

The file's nesting is the dotted name: `ports: {http: 8318}` is `ports.http`. `${NAME}` and
`${NAME:-default}` in a value are replaced from the environment, as in the Collector's file.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from fidelity_otel.errors import ConfigError
from fidelity_otel.settings import TABLE, Setting, by_name, parse_value

__all__ = ["Config", "load", "read_file"]

_VARIABLE: Final = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Config:
    """Effective values by dotted name, and where each came from ("default", "fidelity.yaml:7")."""

    values: dict[str, Any]
    sources: dict[str, str]
    path: Path | None = None

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, tuple[str, Any]] | None = None,
) -> Config:
    """The effective settings of the service.

    Args:
        path: the YAML file, if there is one.
        environ: the environment; the process's own by default.
        given: from the command line, name → (option, text); None as text where it was not given.

    Raises:
        ConfigError: the file or a value is wrong; the message names file and line, variable or
            option, and how to mend it.
    """
    env = os.environ if environ is None else environ
    service = [s for s in TABLE if not s.name.startswith("sdk.")]
    values = {s.name: s.default for s in service}
    sources = {s.name: "default" for s in service}
    if path is not None:
        for name, (where, value) in read_file(path, environ=env).items():
            values[name], sources[name] = value, where
    for s in service:
        if env.get(s.variable, "") != "":
            values[s.name] = parse_value(s, env[s.variable], where=s.variable)
            sources[s.name] = s.variable
    for name, (option, text) in (given or {}).items():
        if text is not None:
            values[name] = parse_value(by_name()[name], str(text), where=option)
            sources[name] = option
    return Config(values, sources, path)


def read_file(
    path: Path, *, environ: Mapping[str, str] | None = None
) -> dict[str, tuple[str, Any]]:
    """The settings in a YAML file: name → ("file:line", value).

    Raises:
        ConfigError: as `load`.
    """
    env = os.environ if environ is None else environ
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file. Mend: give the configuration's path with --config, or leave "
            "it out for the defaults."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise ConfigError(f"{path}:{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    found: dict[str, tuple[str, Any]] = {}
    if root is not None:
        _walk(root, "", path, env, found)
    return found


def _walk(
    node: yaml.Node,
    prefix: str,
    path: Path,
    env: Mapping[str, str],
    found: dict[str, tuple[str, Any]],
) -> None:
    table = by_name()
    if not isinstance(node, yaml.MappingNode):
        where = f"{path}:{node.start_mark.line + 1}"
        what = f"`{prefix}` holds settings" if prefix else "the file holds settings"
        raise ConfigError(f"{where}: {what} by name, so `name: value` is wanted here")
    for key_node, value_node in node.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{where}: a setting's name is wanted")
        name = f"{prefix}.{key_node.value}" if prefix else str(key_node.value)
        setting = table.get(name)
        if setting is None and any(n.startswith(f"{name}.") for n in table):
            if not (isinstance(value_node, yaml.ScalarNode) and value_node.value in ("", "null")):
                _walk(value_node, name, path, env, found)
            continue
        if setting is None:
            raise ConfigError(f"{where}: no setting is called `{name}`.{_meant(name)}")
        if name.startswith("sdk."):
            raise ConfigError(
                f"{where}: `{name}` is a setting of the application that is observed. Mend: give "
                f"it there, as an argument of init() or as {setting.variable}."
            )
        if name in found:
            raise ConfigError(f"{where}: `{name}` is given twice, first in {found[name][0]}")
        found[name] = (where, _value(setting, value_node, where, env))


def _meant(name: str) -> str:
    known = [s.name for s in TABLE if not s.name.startswith("sdk.")]
    close = difflib.get_close_matches(name, known, 1, 0.6)
    if not close:
        last = name.rpartition(".")[2]
        close = [n for n in known if n.rpartition(".")[2] == last]
    if close:
        return f" Did you mean `{close[0]}`?"
    return " See docs/settings.md, or `fidelity config`, for the names."


def _value(setting: Setting, node: yaml.Node, where: str, env: Mapping[str, str]) -> Any:
    if isinstance(node, yaml.SequenceNode):
        if setting.type not in {"list", "secrets"}:
            raise ConfigError(f"{where}: `{setting.name}` takes one value, not a list")
        return tuple(_text(item, setting, where, env) for item in node.value)
    text = _text(node, setting, where, env)
    if text == "" or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        return () if setting.type in {"list", "secrets"} else setting.default
    return parse_value(setting, text, where=where)


def _text(node: yaml.Node, setting: Setting, where: str, env: Mapping[str, str]) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{where}: `{setting.name}` takes a plain value ({setting.type})")

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        value = env.get(name, "")
        if value == "" and default is None:
            raise ConfigError(
                f"{where}: the environment has no {name}, which `{setting.name}` is made of. "
                f"Mend: set it, or write ${{{name}:-a default}}."
            )
        return value or default or ""

    return _VARIABLE.sub(replace, str(node.value))
