# MariaDB as a cluster of three: galera1, galera2, galera3, with the database `foretell`. Ports of each: clients,
# replication, incremental and full state transfer.

galera_members() { echo "gcomm://127.0.0.1:$(port galera1 2),127.0.0.1:$(port galera2 2),127.0.0.1:$(port galera3 2)"; }

galera_start() { # NUMBER
  local name=galera$1 n members TMPDIR user=() as=()
  for n in 1 2 3; do choose_ports "galera$n" 4; done
  export TMPDIR=$dir/$name.tmp
  mkdir -p "$TMPDIR"
  # State goes from node to node by rsync, whose daemon is nobody where it is started by root.
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=mysql --regid=mysql --init-groups)
    user=(--user=mysql)
    chown mysql:mysql "$TMPDIR"
  fi
  if [ ! -d "$dir/$name" ]; then
    rm -rf "$dir/$name.new"
    mariadb-install-db --no-defaults --datadir="$dir/$name.new" --tmpdir="$TMPDIR" "${user[@]}" \
      --auth-root-authentication-method=normal --skip-test-db >>"$dir/$name.log" 2>&1 || return
    [ "$(id -u)" != 0 ] || chown -R mysql:mysql "$dir/$name.new"
    mv "$dir/$name.new" "$dir/$name"
  fi
  # The first one of a cluster of which nobody runs begins it; the others join.
  members=gcomm://
  for n in 1 2 3; do if [ "$n" != "$1" ] && alive "galera$n"; then members=$(galera_members); fi; done
  [ "$members" != gcomm:// ] || sed -i 's/safe_to_bootstrap: 0/safe_to_bootstrap: 1/' "$dir/$name/grastate.dat" 2>/dev/null || true
  launch "$name" "${as[@]}" "$(PATH=$PATH:/usr/sbin command -v mariadbd)" --no-defaults \
    --datadir="$dir/$name" --tmpdir="$TMPDIR" --bind-address=127.0.0.1 --port="$(port "$name")" \
    --socket="/tmp/foretell-galera-$(port "$name").sock" --pid-file="$dir/$name.tmp/server.pid" \
    --character-set-server=utf8mb4 --innodb-buffer-pool-size=64M --binlog-format=ROW --innodb-autoinc-lock-mode=2 \
    --wsrep-on=ON --wsrep-provider=/usr/lib/galera/libgalera_smm.so --wsrep-cluster-name=foretell \
    --wsrep-cluster-address="$members" --wsrep-node-name="$name" --wsrep-node-address=127.0.0.1 \
    --wsrep-sst-method=rsync --wsrep-sst-receive-address="127.0.0.1:$(port "$name" 4)" \
    --wsrep-provider-options="base_port=$(port "$name" 2);gmcast.listen_addr=tcp://127.0.0.1:$(port "$name" 2);ist.recv_addr=127.0.0.1:$(port "$name" 3);gcache.size=32M;evs.suspect_timeout=PT3S;evs.inactive_timeout=PT6S"
}

galera_client() { mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$(port "$1")" -u root "${@:2}"; }

galera_ready() { [[ $(galera_client "$1" -Nse "SHOW STATUS LIKE 'wsrep_ready'") == *ON* ]]; }

galera1_start() { galera_start 1; }
# A node that joins is given its state by another one, which must be there.
galera2_start() { if alive galera1; then wait_for galera1; fi; galera_start 2; }
galera3_start() { if alive galera2; then wait_for galera2; fi; galera_start 3; }
galera1_ready() { galera_ready galera1; }
galera2_ready() { galera_ready galera2; }
galera3_ready() { galera_ready galera3; }
galera1_created() { galera_client galera1 -e 'CREATE DATABASE IF NOT EXISTS foretell'; }
galera1_env() { echo "export FORETELL_GALERA_URL=mysql://root@127.0.0.1:$(port galera1)/foretell"; }
galera2_env() { echo "export FORETELL_GALERA2_URL=mysql://root@127.0.0.1:$(port galera2)/foretell"; }
galera3_env() { echo "export FORETELL_GALERA3_URL=mysql://root@127.0.0.1:$(port galera3)/foretell"; }
