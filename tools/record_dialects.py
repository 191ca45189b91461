"""Records what other instrumentations write: `make record-dialects`.

Each recording is a small program of `tools/dialects/` that has the same two conversations with a
loopback model server through one instrumentation library, installed in an environment of its own
in a temporary folder. What it sends is caught by a loopback OTLP endpoint and written to
`tests/processor/dialects/fixtures/<name>.jsonl`, one trace a line, without paths and stack traces.

    python tools/record_dialects.py                 all
    python tools/record_dialects.py langfuse mlflow some

The conversations: an order is looked up, a policy retrieved, and the question answered; then the
same with a tool that fails, where the answer admits it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from fidelity_otel.processor.read_files import traces_in
from fidelity_otel.processor.wire import from_json, to_json

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "tests" / "processor" / "dialects" / "fixtures"
DROPPED = re.compile(
    r"^(code|process|host|os|server|net|telemetry)\.|stacktrace$|^thread\.|filepath"
)


class Recording(NamedTuple):
    """A program of `tools/dialects/` and the packages that it is run with."""

    program: str
    packages: tuple[str, ...]
    node: bool = False
    environment: tuple[tuple[str, str], ...] = ()


OTLP = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
RECORDINGS: dict[str, Recording] = {
    "genai": Recording(
        "genai.py",
        ("openai==2.*", "opentelemetry-instrumentation-genai-openai==1.3b0", *OTLP),
        environment=(("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY"),),
    ),
    "genai-1.36": Recording(
        "genai_old.py",
        (
            "openai==1.*",
            "opentelemetry-instrumentation-openai-v2==2.0b0",
            "opentelemetry-sdk==1.30.0",
            "opentelemetry-exporter-otlp-proto-http==1.30.0",
        ),
        environment=(("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"),),
    ),
    "openinference": Recording(
        "openinference_.py",
        ("openai==2.*", "openinference-instrumentation-openai==0.1.66", *OTLP),
    ),
    "openinference-langchain": Recording(
        "openinference_langchain.py",
        (
            "langchain-core",
            "langchain-openai",
            "openinference-instrumentation-langchain==0.1.80",
            *OTLP,
        ),
    ),
    "traceloop": Recording(
        "traceloop_.py",
        (
            "openai==2.*",
            "traceloop-sdk==0.62.4",
            "opentelemetry-instrumentation-openai==0.62.4",
            *OTLP,
        ),
    ),
    "traceloop-0.40": Recording(
        "traceloop_.py",
        (
            "openai==1.*",
            "traceloop-sdk==0.40.14",
            "opentelemetry-instrumentation-openai==0.40.14",
            "setuptools<80",
            *OTLP,
        ),
    ),
    "langfuse": Recording("langfuse_.py", ("openai==2.*", "langfuse==5.0.4")),
    "langfuse-3": Recording("langfuse_.py", ("openai==1.*", "langfuse==3.5.0")),
    "logfire": Recording("logfire_.py", ("openai==2.*", "logfire==4.41.0", *OTLP)),
    "pydantic-ai": Recording("pydantic_ai_.py", ("pydantic-ai-slim[openai]==2.68.0", *OTLP)),
    "pydantic-ai-0.4": Recording(
        "pydantic_ai_.py",
        (
            "pydantic-ai-slim[openai]==0.4.11",
            "openai==1.*",
            "opentelemetry-sdk==1.36.0",
            "opentelemetry-exporter-otlp-proto-http==1.36.0",
        ),
    ),
    "mlflow": Recording("mlflow_.py", ("openai==2.*", "mlflow-skinny==3.17.2", "pandas", *OTLP)),
    "langsmith": Recording("langsmith_.py", ("openai==2.*", "langsmith[otel]==0.15.0", *OTLP)),
    "vercel": Recording(
        "vercel.mjs",
        (
            "ai@7.0.173",
            "@ai-sdk/otel@1.0.173",
            "@ai-sdk/openai-compatible@3.0.92",
            "zod@4",
            "@opentelemetry/api@1",
            "@opentelemetry/sdk-trace-node@2",
            "@opentelemetry/exporter-trace-otlp-http",
        ),
        node=True,
    ),
    "vercel-4": Recording(
        "vercel_4.mjs",
        (
            "ai@4.3.19",
            "@ai-sdk/openai-compatible@0.2.16",
            "zod@3",
            "@opentelemetry/api@1",
            "@opentelemetry/sdk-trace-node@2",
            "@opentelemetry/exporter-trace-otlp-http",
        ),
        node=True,
    ),
}


# --- the loopback server: a model and an OTLP endpoint -------------------------------------------


def _reply(body: dict[str, Any], number: int) -> dict[str, Any]:
    """What the model says: a tool call for an order, then an answer from the tool's result."""
    last = body["messages"][-1]
    content = json.dumps(last.get("content"))
    if last["role"] == "tool":
        down = "down" in content
        said = (
            "I am sorry, I could not retrieve your order."
            if down
            else "Your order A-17 was shipped and arrives on Monday."
        )
        message: dict[str, Any] = {"role": "assistant", "content": said}
        reason, used = "stop", (30, 9)
    else:
        found = re.search(r"\b([AB]-\d+)", content)
        call = {
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": "get_order",
                "arguments": json.dumps({"order_id": found.group(1) if found else "?"}),
            },
        }
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        reason, used = "tool_calls", (20, 5)
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "small-2026-01",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {
            "prompt_tokens": used[0],
            "completion_tokens": used[1],
            "total_tokens": sum(used),
        },
    }


class Loopback:
    """Serves both ends on one port until closed; `requests` are what was traced."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.calls = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self._body()
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.endswith("/chat/completions"):
                    outer.calls += 1
                    self._send(json.dumps(_reply(json.loads(body), outer.calls)).encode())
                    return
                if self.path.endswith("/traces"):
                    is_json = "json" in self.headers.get("content-type", "")
                    outer.requests.append(from_json(body) if is_json else body)
                self._send(b"{}")

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def do_GET(self) -> None:
                self._send(b"{}")

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


# --- one recording -------------------------------------------------------------------------------


def _prepare(recording: Recording, folder: Path) -> None:
    """Install the packages."""
    if recording.node:
        (folder / "package.json").write_text('{"type": "module", "private": true}')
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", *recording.packages], folder)
        return
    _run([sys.executable, "-m", "venv", "env"], folder)
    pip = [str(folder / "env" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "-q", *recording.packages], folder)


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)[:300]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    if os.environ.get("VERBOSE"):
        print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)


def record(name: str, keep: Path | None) -> int:
    """Make one fixture; returns how many traces it holds."""
    recording = RECORDINGS[name]
    with tempfile.TemporaryDirectory() as made:
        folder = keep / name if keep else Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "ready").exists():
            _prepare(recording, folder)
            (folder / "ready").touch()
        for program in (recording.program, "conversation.py"):
            shutil.copy(HERE / "dialects" / program, folder)
        python = str(folder / "env" / "bin" / "python")
        command = ["node" if recording.node else python, recording.program]
        server = Loopback()
        try:
            _run(
                command,
                folder,
                {**os.environ, **_environment(server.url), **dict(recording.environment)},
            )
        finally:
            server.close()
        lines = _lines(server.requests, [str(folder), sys.prefix])
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
    return len(lines)


def _environment(url: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}/v1/traces",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "shop",
        "LOOPBACK": url,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _lines(requests: list[bytes], paths: list[str]) -> list[str]:
    bodies = traces_in(
        [("recorded", b"".join(len(r).to_bytes(4, "big") + r for r in requests))],
        lambda place, what: print(place, what, file=sys.stderr),
    )
    lines = []
    for body in bodies:
        text = to_json(body).decode()
        for path in paths:
            text = text.replace(path, ".")
        lines.append(json.dumps(_scrubbed(json.loads(text)), ensure_ascii=False))
    return lines


def _scrubbed(value: Any) -> Any:
    """The request without attributes that only say where it was recorded."""
    if isinstance(value, list):
        kept = (
            v for v in value if not (isinstance(v, dict) and DROPPED.search(str(v.get("key", ""))))
        )
        return [_scrubbed(v) for v in kept]
    if isinstance(value, dict):
        return {k: _scrubbed(v) for k, v in value.items()}
    return value


def main() -> int:
    """Record what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECORDINGS))
    parser.add_argument("--keep", type=Path, help="keep the environments here, and use them again")
    given = parser.parse_args()
    unknown = set(given.names) - set(RECORDINGS)
    if unknown:
        parser.error(
            f"no such recording: {', '.join(sorted(unknown))}; there are {', '.join(RECORDINGS)}"
        )
    failed = []
    for name in given.names or RECORDINGS:
        try:
            print(f"{name}: {record(name, given.keep)} traces")
        except RuntimeError as error:
            failed.append(name)
            print(f"{name}: failed\n{error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
