# PostgreSQL, with the database `foretell`; the role postgres has no password and is reached from loopback only.

postgres_bin() {
  local bins=(/usr/lib/postgresql/*/bin)
  echo "${bins[-1]}/$1"
}

postgres_start() {
  choose_ports postgres 1
  # The server refuses to be root. As user postgres it gets at a folder under a closed home, too,
  # where the machine can grant that.
  local as=()
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups
      --inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
    "${as[@]}" true 2>/dev/null || as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    mkdir -p "$dir/postgres"
    chown postgres:postgres "$dir/postgres"
  fi
  [ -e "$dir/postgres/PG_VERSION" ] ||
    (cd / && "${as[@]}" "$(postgres_bin initdb)" -D "$dir/postgres" -U postgres -A trust -E UTF8 \
      --locale=C.UTF-8 >>"$dir/postgres.log" 2>&1) || return
  # Left by a kill -9. The server would believe it while that process is a zombie.
  rm -f "$dir/postgres/postmaster.pid"
  launch postgres "${as[@]}" "$(postgres_bin postgres)" -D "$dir/postgres" -p "$(port postgres)" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories=
}

postgres_client() { psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port postgres)" -U postgres "$@"; }

postgres_ready() { postgres_client -d postgres -c 'SELECT 1'; }

postgres_created() {
  [ -n "$(postgres_client -d postgres -Atc "SELECT 1 FROM pg_database WHERE datname = 'foretell'")" ] ||
    postgres_client -d postgres -c 'CREATE DATABASE foretell'
}

postgres_env() { echo "export FORETELL_POSTGRES_URL=postgres://postgres@127.0.0.1:$(port postgres)/foretell"; }

postgres_sql() { postgres_client -d foretell -A -F $'\t' -P footer=off -c "$1"; }
