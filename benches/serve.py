#!/usr/bin/env python3
"""Answers over HTTP beside what else serves a model: usage: serve.py BINARY MLFLOW MLSERVER

BINARY is a foretell (release), MLFLOW and MLSERVER the `bin` folders of Python environments that have mlflow, and mlserver with
mlserver-xgboost; one that is not there is left out. Each serves examples/mri's XGBoost model in turn, on one port, and `wrk` asks for a row over and over on 1, 8 and 32
connections. Prints requests a second and the time within which 99 of 100 are answered: as fast as they are
answered, where a fast server keeps both cores busy, `wrk` among what waits for them; and, of foretell, at about 1,600 requests a
second, which is what the others reach.
"""
import json, os, pathlib, re, shutil, signal, subprocess, sys, tempfile, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
foretell, mlflow, mlserver = (pathlib.Path(path) for path in sys.argv[1:4])
seconds = int(os.environ.get("SECONDS_EACH", "8"))
NAMES = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "AGE", "POS_n", "IO_n"]
VALUES = [4, 12, 3, 1, 57, 2, 1]
V2 = json.dumps({"inputs": [{"name": "x", "shape": [1, 7], "datatype": "FP32", "data": VALUES}]})
ROW = json.dumps(dict(zip(NAMES, VALUES)))
SPLIT = json.dumps({"dataframe_split": {"columns": NAMES, "data": [VALUES]}})
PORT = 18431
folder = pathlib.Path(tempfile.mkdtemp(prefix="foretell-serve-"))
shutil.copy(ROOT / "examples/mri/models/mri_xgb.joblib", folder / "mri.joblib")


def models():
    """The same model as each of the others keeps it."""
    script = """
import joblib, mlflow.xgboost, sys
model = joblib.load(sys.argv[1])
mlflow.xgboost.save_model(model, sys.argv[2])
"""
    if mlflow.exists():
        subprocess.run([mlflow / "python", "-c", script, folder / "mri.joblib", folder / "mlflow"], check=True, capture_output=True)
    if not mlserver.exists():
        return
    script = "import joblib, sys; joblib.load(sys.argv[1]).get_booster().save_model(sys.argv[2])"
    (folder / "mlserver").mkdir()
    subprocess.run([mlserver / "python", "-c", script, folder / "mri.joblib", folder / "mlserver/model.json"], check=True, capture_output=True)
    settings = {"name": "mri", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": "./model.json"}}
    (folder / "mlserver/model-settings.json").write_text(json.dumps(settings))
    server = {"http_port": PORT, "grpc_port": PORT + 1, "metrics_port": PORT + 2, "parallel_workers": 0}
    (folder / "mlserver/settings.json").write_text(json.dumps(server))


def wait(url, body):
    until = time.monotonic() + 120
    while True:
        try:
            request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
            return urllib.request.urlopen(request, timeout=5).read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def load(url, body, connections, pause=0):
    """`pause`: the milliseconds that each connection waits between two requests."""
    script = folder / "post.lua"
    quoted = body.replace("\\", "\\\\").replace("'", "\\'")
    script.write_text(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = '{quoted}'\n")
    if pause:
        with script.open("a") as more:
            more.write(f"function delay() return {pause} end\n")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script, url]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"{url}: {out}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


models()
environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
SERVERS = [
    ("foretell /predict", [foretell, "serve", folder / "mri.joblib", "--listen", f"127.0.0.1:{PORT}"], f"http://127.0.0.1:{PORT}/predict", ROW),
    ("foretell V2", [foretell, "serve", folder / "mri.joblib", "--listen", f"127.0.0.1:{PORT}"], f"http://127.0.0.1:{PORT}/v2/models/mri/infer", V2),
    ("mlflow models serve", [mlflow / "mlflow", "models", "serve", "-m", folder / "mlflow", "-p", str(PORT), "--env-manager", "local"],
     f"http://127.0.0.1:{PORT}/invocations", SPLIT),
    ("MLServer V2", [mlserver / "mlserver", "start", folder / "mlserver"], f"http://127.0.0.1:{PORT}/v2/models/mri/infer", V2),
]
print("| server | 1 connection: requests/s, p99 ms | 8 | 32 | 8 connections, with pauses | 32 |")
print("|---|---|---|---|---|---|")
for name, command, url, body in SERVERS:
    if not command[0].exists():
        continue
    own = {**environment, "PATH": f"{command[0].parent}:{environment['PATH']}"}
    server = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait(url, body)
        load(url, body, 4)
        figures = [load(url, body, connections) for connections in (1, 8, 32)]
        if name.startswith("foretell"):
            figures += [load(url, body, connections, pause) for connections, pause in ((8, 5), (32, 20))]
        print("| " + " | ".join([name, *(f"{rate:,.0f}, {late:.2f}" for rate, late in figures)]) + " |", flush=True)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        time.sleep(1)
shutil.rmtree(folder)
