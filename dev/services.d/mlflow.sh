# A server of MLflow with its registry in SQLite and its artifacts in a folder, which it hands out itself. Not among those
# that are started by default: it is installed into a Python environment of its own, some 800 MB, when it is first asked for.

MLFLOW_VERSION=3

mlflow_python() { # the environment's folder, made once
  local venv=$cache/mlflow-$MLFLOW_VERSION
  if [ ! -e "$venv/ready" ]; then
    (
      mkdir -p "$cache"
      exec 8>"$venv.lock"
      flock 8
      [ -e "$venv/ready" ] && exit
      echo "services: installing MLflow into $venv" >&2
      rm -rf "$venv"
      python3 -m venv "$venv"
      "$venv/bin/pip" install -q "mlflow>=$MLFLOW_VERSION,<$((MLFLOW_VERSION + 1))" >"$venv.log" 2>&1 || { cat "$venv.log" >&2; exit 1; }
      touch "$venv/ready"
    ) || fail "pip could not install MLflow; is PyPI reachable?"
  fi
  echo "$venv"
}

mlflow_start() {
  choose_ports mlflow 1
  mkdir -p "$dir/mlflow"
  local venv
  venv=$(mlflow_python)
  launch mlflow env "PATH=$venv/bin:$PATH" MLFLOW_DISABLE_TELEMETRY=true "$venv/bin/mlflow" server --host 127.0.0.1 --port "$(port mlflow)" --workers 1 \
    --backend-store-uri "sqlite:///$dir/mlflow/mlflow.db" --artifacts-destination "$dir/mlflow/artifacts" --serve-artifacts
}

mlflow_ready() { [[ $(curl -sf -m 2 "http://127.0.0.1:$(port mlflow)/health") == OK ]]; }

mlflow_env() {
  echo "export FORETELL_MLFLOW=http://127.0.0.1:$(port mlflow)"
  echo "export FORETELL_MLFLOW_PYTHON='$cache/mlflow-$MLFLOW_VERSION/bin/python'"
}
