# PostgreSQL, with the database `foretell`; the role postgres has no password and is reached from loopback only.

postgres_bin() {
  local bins=(/usr/lib/postgresql/*/bin)
  echo "${bins[-1]}/$1"
}

postgres_start() { postgres_launch postgres; }

postgres_launch() { # NAME [LEADER]: where there are no data yet, they are made, or taken from the server that it follows
  local name=$1
  choose_ports "$name" 1
  # The server refuses to be root. As user postgres it gets at a folder under a closed home, too,
  # where the machine can grant that.
  local as=()
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups
      --inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
    "${as[@]}" true 2>/dev/null || as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    mkdir -p "$dir/$name"
    chown postgres:postgres "$dir/$name"
    chmod 700 "$dir/$name"
  fi
  if [ ! -e "$dir/$name/PG_VERSION" ]; then
    local make=("$(postgres_bin initdb)" -A trust -E UTF8 --locale=C.UTF-8)
    [ -z "${2:-}" ] || make=("$(postgres_bin pg_basebackup)" -h 127.0.0.1 -p "$(port "$2")" -c fast -X stream -R)
    (cd / && "${as[@]}" "${make[@]}" -D "$dir/$name" -U postgres >>"$dir/$name.log" 2>&1) || return
  fi
  # Left by a kill -9. The server would believe it while that process is a zombie.
  rm -f "$dir/$name/postmaster.pid"
  launch "$name" "${as[@]}" "$(postgres_bin postgres)" -D "$dir/$name" -p "$(port "$name")" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories=
}

postgres_at() { psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port "$1")" -U postgres "${@:2}"; }

postgres_client() { postgres_at postgres "$@"; }

postgres_ready() { postgres_client -d postgres -c 'SELECT 1'; }

postgres_created() { postgres_create postgres; }

postgres_create() { # NAME
  [ -n "$(postgres_at "$1" -d postgres -Atc "SELECT 1 FROM pg_database WHERE datname = 'foretell'")" ] ||
    postgres_at "$1" -d postgres -c 'CREATE DATABASE foretell'
}

postgres_env() { echo "export FORETELL_POSTGRES_URL=postgres://postgres@127.0.0.1:$(port postgres)/foretell"; }

postgres_sql() { postgres_client -d foretell -A -F $'\t' -P footer=off -c "$1"; }
