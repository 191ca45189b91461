"""Patching other people's classes: late, once, reversibly, and never by breaking their import."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from fidelity_otel.errors import NotEnabled
from fidelity_otel.sdk import guard

__all__ = ["Install", "Integration", "Patches", "Wrapper"]

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called instead of the patched function with (original, instance, args, kwargs)."""


Install = Callable[["Patches", ModuleType], None]
"""Puts an integration's patches into a loaded module."""


class Patches:
    """The attributes that one integration has replaced, and what was there before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._undo: list[tuple[Any, str, Any, Any]] = []
        self._more: list[Callable[[], object]] = []

    def wrap(self, owner: Any, attribute: str, wrapper: Wrapper) -> bool:
        """Put a wrapper before a function of a class or module.

        Args:
            owner: the class or module.
            attribute: the function's name in it; one that does not exist (a newer or older
                release) is noted and left out.
            wrapper: what to call instead.

        Returns:
            Whether there was something to wrap.
        """
        import wrapt

        original = vars(owner).get(attribute)
        if original is None:
            where = f"{getattr(owner, '__name__', owner)}.{attribute}"
            guard.note("patch", "%s: %s does not exist in this release", self._name, where)
            return False
        made = wrapt.FunctionWrapper(original, wrapper)
        setattr(owner, attribute, made)
        self._undo.append((owner, attribute, original, made))
        return True

    def on_undo(self, work: Callable[[], object]) -> None:
        """What else to take back when the integration is turned off: hooks, handlers."""
        self._more.append(work)

    def undo(self) -> None:
        """Put everything back; what others wrapped since stays, around our inactive wrapper."""
        for owner, attribute, original, made in reversed(self._undo):
            if inspect.getattr_static(owner, attribute, None) is made:
                setattr(owner, attribute, original)
        self._undo.clear()
        while self._more:
            self._more.pop()()


class Integration:
    """Turns one library's patches on and off, also before the library is imported.

    Args:
        name: of the integration.
        library: the module whose presence means that the library is installed.
        install: puts the patches in; called with them and the loaded `module`.
        module: the module to wait for; the library itself by default.
        distribution: what to `pip install`; the library's name by default.
        minimum: oldest release that is supported, as (major, minor).
        more: further modules to wait for, each with what puts its patches in.
    """

    def __init__(
        self,
        name: str,
        library: str,
        install: Install,
        *,
        module: str = "",
        distribution: str = "",
        minimum: tuple[int, int] = (0, 0),
        more: Mapping[str, Install] | None = None,
    ) -> None:
        self.name = name
        self.library = library
        self.active = False
        self._installs: Final = {module or library: install, **(more or {})}
        self._distribution: Final = distribution or library
        self._minimum = minimum
        self._patches = Patches(name)
        self._lock = threading.Lock()
        self._hooked: set[str] = set()

    def instrument(self) -> None:
        """Turn it on; a second time does nothing.

        Raises:
            NotEnabled: the library is absent or too old.
        """
        with self._lock:
            if self.active:
                return
            self._check()
            self.active = True
            for name, install in self._installs.items():
                if name in sys.modules:
                    self._patch(install, sys.modules[name])
                elif name not in self._hooked:
                    import wrapt

                    self._hooked.add(name)
                    wrapt.register_post_import_hook(self._imported, name)

    def uninstrument(self) -> None:
        """Turn it off and put the original objects back."""
        with self._lock:
            self.active = False
            self._patches.undo()

    def _imported(self, module: ModuleType) -> None:
        try:
            with self._lock:
                if self.active:
                    self._patch(self._installs[module.__name__], module)
        except Exception as error:  # noqa: BLE001 - a raising hook would fail the user's import
            guard.trip(f"instrument {self.name}", error)

    def _patch(self, install: Install, module: ModuleType) -> None:
        try:
            install(self._patches, module)
        except Exception as error:  # noqa: BLE001
            self._patches.undo()
            self.active = False
            guard.trip(f"instrument {self.name}", error)

    def _check(self) -> None:
        try:
            loaded = sys.modules.get(self.library) is not None
            found = loaded or importlib.util.find_spec(self.library) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            raise NotEnabled(
                f"{self.name}: the library is not installed. Mend: pip install {self._distribution}"
            )
        try:
            version = importlib.metadata.version(self._distribution)
        except importlib.metadata.PackageNotFoundError:
            return
        if _release(version) < self._minimum:
            oldest = ".".join(map(str, self._minimum))
            raise NotEnabled(
                f"{self.name}: {self._distribution} {version} is too old. "
                f"Mend: pip install '{self._distribution}>={oldest}'"
            )


def _release(version: str) -> tuple[int, int]:
    parts = [int("".join(c for c in p if c.isdigit()) or 0) for p in version.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)
