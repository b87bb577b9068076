"""Nothing that is read can run code, and no credential is written anywhere."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edaphos.engine import retry
from edaphos.engine.build.build import build_cube
from edaphos.engine.build.spec import CubeSpec, LayerSpec
from edaphos.engine.place import place
from edaphos.engine.store import list_objects
from edaphos.recipes.cli import app

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    p for floor in ("engine", "kernels", "recipes") for p in (ROOT / floor).rglob("*.py")
)
#: Formats whose reading runs what they hold.
RUNS_CODE = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "read_pickle", "to_pickle", "unsafe_load"}


def dangers(source: str) -> list[str]:
    """Name what in a module could run code that a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in RUNS_CODE]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module for m in [node.module or ""] if m.split(".")[0] in RUNS_CODE]
        elif isinstance(node, ast.Call):
            found += _dangerous_call(node)
    return [str(what) for what in found]


def _dangerous_call(node: ast.Call) -> list[str]:
    known = {k.arg: ast.unparse(k.value) for k in node.keywords}
    name = ast.unparse(node.func)
    found = [name] if name in CALLS or name.split(".")[-1] in CALLS - {"eval", "exec"} else []
    if known.get("allow_pickle", "False") != "False":
        found.append("allow_pickle")
    if name == "torch.load" and known.get("weights_only") != "True":
        found.append("torch.load without weights_only=True")
    if known.get("shell") == "True":
        found.append("shell")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import cloudpickle.x",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=wanted)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "pd.read_pickle(f)",
        "eval(text)",
        "run(text, shell=True)",
    ],
)
def test_the_search_finds_them(source) -> None:
    assert dangers(source)


def test_no_file_that_is_read_can_run_code() -> None:
    assert len(FILES) > 100
    found = {f"{p.relative_to(ROOT)}: {what}" for p in FILES for what in dangers(p.read_text())}
    assert found == set()


def test_no_credential_is_written_into_a_cube(tmp_path, s3_folder, s3_servers) -> None:
    import rasterio
    from affine import Affine

    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=18, width=36, count=1, dtype="float32",
        crs="EPSG:4326", transform=Affine(10, 0, -180, 0, -10, 90),
    ) as file:  # fmt: skip
        file.write(np.ones((1, 18, 36), "f4"))
    spec = CubeSpec((LayerSpec("a", "a.tif", "amount"),), base=tmp_path)
    for out in (tmp_path / "c.zarr", place(s3_folder)):
        build_cube(spec, out)
        files = {key: (out / key).read_bytes() for key in list_objects(out)}
        assert len(files) > 5
        for key, data in files.items():
            for secret in (s3_servers.ACCESS_KEY, s3_servers.SECRET_KEY):
                assert secret.encode() not in data, key


@pytest.mark.parametrize("command", ["show", "verify"])
def test_no_credential_is_printed_where_a_command_fails(
    s3_folder, s3_servers, rclone_endpoint, monkeypatch, command
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.001,))
    nobody = f"http://127.0.0.1:{s3_servers.free_port()}"
    for endpoint, words in ((rclone_endpoint, "403"), (nobody, "AWS_ENDPOINT_URL")):
        with s3_servers.environment(endpoint, s3_servers.ACCESS_KEY, "ANOTHERSECRET99"):
            done = CliRunner().invoke(app, ["cube", command, s3_folder])
        assert done.exit_code == 1
        assert words in done.output
        assert s3_folder in done.output
        for secret in (s3_servers.ACCESS_KEY, "ANOTHERSECRET99", "Traceback"):
            assert secret not in done.output
