# MariaDB, with the database `foretell`; root has no password and is reached from loopback only.

mariadb_start() { mariadb_launch mariadb; }

mariadb_launch() { # NAME FLAG..
  local name=$1 TMPDIR user=()
  shift
  choose_ports "$name" 1
  [ "$(id -u)" != 0 ] || user=(--user=root)
  # Its own temporary files: two servers in the same folder have been seen to remove each other's.
  export TMPDIR=$dir/$name.tmp
  mkdir -p "$TMPDIR"
  if [ ! -d "$dir/$name" ]; then
    rm -rf "$dir/$name.new"
    mariadb-install-db --no-defaults --datadir="$dir/$name.new" --tmpdir="$TMPDIR" "${user[@]}" \
      --auth-root-authentication-method=normal --skip-test-db >>"$dir/$name.log" 2>&1 || return
    mv "$dir/$name.new" "$dir/$name"
  fi
  # A socket's path may hold 107 characters only, so it does not go into the data folder.
  launch "$name" "$(PATH=$PATH:/usr/sbin command -v mariadbd)" --no-defaults "${user[@]}" \
    --datadir="$dir/$name" --tmpdir="$TMPDIR" --bind-address=127.0.0.1 --port="$(port "$name")" \
    --socket="/tmp/foretell-mariadb-$(port "$name").sock" --pid-file="$dir/$name.tmp/server.pid" \
    --character-set-server=utf8mb4 --innodb-buffer-pool-size=256M "$@"
}

mariadb_at() { mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$(port "$1")" -u root "${@:2}"; }

mariadb_client() { mariadb_at mariadb "$@"; }

mariadb_ready() { mariadb_client -e 'SELECT 1'; }

mariadb_created() { mariadb_client -e 'CREATE DATABASE IF NOT EXISTS foretell'; }

mariadb_env() { echo "export FORETELL_MARIADB_URL=mysql://root@127.0.0.1:$(port mariadb)/foretell"; }

mariadb_sql() { mariadb_client --batch foretell -e "$1"; }
