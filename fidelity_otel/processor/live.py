"""Settings in use: what a reload of the file changes while the service runs."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Final

from fidelity_otel.errors import ConfigError
from fidelity_otel.processor.config import Config, load
from fidelity_otel.processor.contract import load_contracts
from fidelity_otel.processor.detect import DetectSettings, RiskModel
from fidelity_otel.processor.risk_model import kept_model
from fidelity_otel.processor.sample import Sampler
from fidelity_otel.settings import by_name

if TYPE_CHECKING:
    from fidelity_otel.store import Store

__all__ = ["Live"]

_log = logging.getLogger(__name__)
_SALT: Final = "sample.salt"


class Live:
    """The sampler, the detectors' settings and the contracts and the risk model of this moment.

    Args:
        config: effective settings; `values` is changed by a reload, so that all who hold it see it.
        store: keeps the salt of the draw, unless a setting gives it.

    Raises:
        ConfigError: a sampling setting or a contract is wrong.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._salt = config[_SALT] or store.meta_once(_SALT, secrets.token_hex(32))
        self.sampler = Sampler(config.values, self._salt)
        self.detection = DetectSettings.from_settings(config.values)
        self.contracts = load_contracts(config["contracts"])
        self.risk_model: RiskModel = kept_model(store)

    def reload(self) -> None:
        """Read the file again. One that is wrong is reported and changes nothing."""
        path, table = self._config.path, by_name()
        if path is None:
            _log.warning("there is no configuration file to read again (--config)")
            return
        try:
            fresh = load(path)
            values = dict(self._config.values)
            changed = []
            for name, value in fresh.values.items():
                # What the command line gave stays: the file and the environment come before it.
                if value == values[name] or self._config.sources[name].startswith("--"):
                    continue
                if not table[name].reloadable:
                    _log.warning("%s: `%s` takes effect after a restart", path, name)
                    continue
                values[name] = value
                changed.append(name)
            sampler = Sampler(values, self._salt)
            detection = DetectSettings.from_settings(values)
            contracts = load_contracts(values["contracts"])
        except ConfigError as error:
            _log.error("the configuration is not taken: %s", error)
            return
        self.sampler, self.detection, self.contracts = sampler, detection, contracts
        self._config.values.update(values)
        for name in changed:
            self._config.sources[name] = fresh.sources[name]
        _log.info("configuration read again; changed: %s", ", ".join(changed) or "nothing")
