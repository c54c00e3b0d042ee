"""schemathesis reads the OpenAPI document and looks for answers that it does not tell of."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dashboard.http.tokens import Role
from tests.dashboard.conftest import TOKENS, Dash

EXAMPLES = 6
SEED = 20_260
# A stream of events has no end that a fuzzer could wait for; `test_events.py` and `test_tail.py` read them.
STREAMS = ("/api/v1/events", "/api/v1/processes/{name}/follow")
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "unsupported_method",
)  # fmt: skip


async def fuzz(dash: Dash, folder: Path) -> tuple[int, str]:
    url = str(dash.client.make_url("/api/v1/openapi.json"))
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", url, "--header", f"Authorization: Bearer {TOKENS[Role.admin]}",
        "--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--no-color",
        "--generation-database", "none", "--suppress-health-check", "all", "--phases", "examples,coverage,fuzzing",
    ]  # fmt: skip
    for path in STREAMS:
        command += ["--exclude-path", path]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode(errors="replace")


async def test_no_answer_is_a_surprise(dash: Dash, tmp_path: Path) -> None:
    code, output = await fuzz(dash, tmp_path)
    assert code == 0, output[-6000:]
    assert "No issues found" in output or "passed" in output, output[-2000:]
