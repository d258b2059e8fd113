# PgBouncer before PostgreSQL: the database `foretell` with a session for each connection, and `shared`, where each
# transaction gets another one.

pgbouncer_start() {
  choose_ports pgbouncer 1
  mkdir -p "$dir/pgbouncer"
  cat >"$dir/pgbouncer/pgbouncer.ini" <<END
[databases]
foretell = host=127.0.0.1 port=$(port postgres) dbname=foretell pool_mode=session
shared = host=127.0.0.1 port=$(port postgres) dbname=foretell pool_mode=transaction
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $(port pgbouncer)
unix_socket_dir =
auth_type = any
ignore_startup_parameters = extra_float_digits
max_client_conn = 200
default_pool_size = 40
server_reset_query = DISCARD ALL
END
  # `any` logs in as the role that the database's line names, else as the one that asks.
  sed -i "s/dbname=foretell/dbname=foretell user=postgres/" "$dir/pgbouncer/pgbouncer.ini"
  local as=()
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chown -R postgres:postgres "$dir/pgbouncer"
  fi
  launch pgbouncer "${as[@]}" "$(PATH=$PATH:/usr/sbin command -v pgbouncer)" "$dir/pgbouncer/pgbouncer.ini"
}

pgbouncer_ready() { psql -X -q -h 127.0.0.1 -p "$(port pgbouncer)" -U postgres -d pgbouncer -c 'SHOW VERSION'; }

pgbouncer_env() {
  echo "export FORETELL_PGBOUNCER_URL=postgres://postgres@127.0.0.1:$(port pgbouncer)/foretell"
  echo "export FORETELL_PGBOUNCER_SHARED_URL=postgres://postgres@127.0.0.1:$(port pgbouncer)/shared"
}
