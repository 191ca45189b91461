"""Settings in use: what a reload of the file changes while the service runs."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from fidelity_otel.errors import ConfigError
from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.config import Config, load
from fidelity_otel.processor.contract import Contracts, load_contracts
from fidelity_otel.processor.detect import DetectSettings, History, RiskModel, detect_all, risk
from fidelity_otel.processor.pipeline import Pipeline
from fidelity_otel.processor.risk_model import kept_model
from fidelity_otel.processor.sample import Sampler
from fidelity_otel.processor.tally import Tally
from fidelity_otel.settings import by_name

if TYPE_CHECKING:
    from fidelity_otel.store import Store

__all__ = ["Given", "InUse", "Live", "Rules", "make_pipeline"]

_log = logging.getLogger(__name__)
_SALT: Final = "sample.salt"


Given = tuple[Mapping[str, Any], str, RiskModel]
"""What rules are made from: settings by dotted name, the draw's salt, the risk model."""


class InUse(Protocol):
    """What decides: it may be other values at the next trace."""

    @property
    def sampler(self) -> Sampler:
        """Gives each trace its place in the draw."""
        ...

    @property
    def detection(self) -> DetectSettings:
        """The detectors' thresholds."""
        ...

    @property
    def contracts(self) -> Contracts:
        """What is right, by workflow."""
        ...

    @property
    def risk_model(self) -> RiskModel:
        """Turns findings into a probability."""
        ...


class Rules(NamedTuple):
    """What decides, as it stands."""

    sampler: Sampler
    detection: DetectSettings
    contracts: Contracts
    risk_model: RiskModel

    @classmethod
    def of(cls, given: Given) -> Rules:
        """Make them.

        Raises:
            ConfigError: a sampling setting or a contract is wrong.
        """
        values, salt, risk_model = given
        return cls(
            Sampler(values, salt),
            DetectSettings.from_settings(values),
            load_contracts(values["contracts"]),
            risk_model,
        )


def make_pipeline(live: InUse, tally: Tally, history: History | None = None) -> Pipeline:
    """The pipeline with this installation's detectors and sampler, as they are set now.

    What shapes tools' results have is learned as traces come, anew in each process.
    """
    learned = History() if history is None else history

    def find(
        traces: Sequence[Trace], _now: int, doubts: Sequence[int | None]
    ) -> list[tuple[Finding, ...] | Exception]:
        found = detect_all(traces, live.detection, history=learned, doubts=doubts)
        for at, (trace, each) in enumerate(zip(traces, found, strict=True)):
            if not isinstance(each, Exception):
                try:
                    found[at] = (*each, *live.contracts.findings(trace))
                except Exception as error:  # noqa: BLE001 - the pipeline says so, and goes on
                    found[at] = error
        return found

    def keep(trace_id: str) -> float:
        return live.sampler.keeps(trace_id)

    return Pipeline(
        detect=find,
        risk=lambda trace, findings: risk(trace, findings, live.risk_model),
        candidate=lambda trace, findings, p, now, state: live.sampler.candidate(
            trace, findings, p, now, trace_state=state
        ),
        tally=tally,
        keep=keep,
    )


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
        rules = Rules.of((config.values, self._salt, kept_model(store)))
        self.sampler, self.detection, self.contracts, self.risk_model = rules

    def given(self) -> Given:
        """What `Rules.of` makes the rules of this moment from."""
        return self._config.values, self._salt, self.risk_model

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
            rules = Rules.of((values, self._salt, self.risk_model))
        except ConfigError as error:
            _log.error("the configuration is not taken: %s", error)
            return
        self._config.values.update(values)  # first: see `Workers`
        self.sampler, self.detection, self.contracts, _ = rules
        for name in changed:
            self._config.sources[name] = fresh.sources[name]
        _log.info("configuration read again; changed: %s", ", ".join(changed) or "nothing")
