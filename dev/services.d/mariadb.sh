# MariaDB, with the database `foretell`; root has no password and is reached from loopback only.

mariadb_start() {
  choose_ports mariadb 1
  local TMPDIR user=()
  [ "$(id -u)" != 0 ] || user=(--user=root)
  # Its own temporary files: two servers in the same folder have been seen to remove each other's.
  export TMPDIR=$dir/mariadb.tmp
  mkdir -p "$TMPDIR"
  if [ ! -d "$dir/mariadb" ]; then
    rm -rf "$dir/mariadb.new"
    mariadb-install-db --no-defaults --datadir="$dir/mariadb.new" --tmpdir="$TMPDIR" "${user[@]}" \
      --auth-root-authentication-method=normal --skip-test-db >>"$dir/mariadb.log" 2>&1 || return
    mv "$dir/mariadb.new" "$dir/mariadb"
  fi
  # A socket's path may hold 107 characters only, so it does not go into the data folder.
  launch mariadb "$(PATH=$PATH:/usr/sbin command -v mariadbd)" --no-defaults "${user[@]}" \
    --datadir="$dir/mariadb" --tmpdir="$TMPDIR" --bind-address=127.0.0.1 --port="$(port mariadb)" \
    --socket="/tmp/foretell-mariadb-$(port mariadb).sock" --pid-file="$dir/mariadb.tmp/server.pid" \
    --character-set-server=utf8mb4 --innodb-buffer-pool-size=256M
}

mariadb_client() { mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$(port mariadb)" -u root "$@"; }

mariadb_ready() { mariadb_client -e 'SELECT 1'; }

mariadb_created() { mariadb_client -e 'CREATE DATABASE IF NOT EXISTS foretell'; }

mariadb_env() { echo "export FORETELL_MARIADB_URL=mysql://root@127.0.0.1:$(port mariadb)/foretell"; }

mariadb_sql() { mariadb_client --batch foretell -e "$1"; }
