# A database and its replica: postgres1 and postgres2, mariadb1 and mariadb2. The one that is started first leads; the
# other, as long as it has no data of its own, is given all that there is, and from then on takes what the first does. Which
# of them is to lead later is a client's business: a leader that was killed gets no data from the one that took its place
# unless its own (DIR/postgres1) are removed before it is started again.

replicas_other() { echo "${1%[12]}$((3 - ${1: -1}))"; }

replicas_leader() { # NAME: the one to follow, if any
  local other
  other=$(replicas_other "$1")
  if [ ! -d "$dir/$1" ] && alive "$other"; then echo "$other"; fi
}

postgres1_start() { postgres_replicated postgres1; }
postgres2_start() { postgres_replicated postgres2; }
postgres1_ready() { postgres_at postgres1 -d postgres -c 'SELECT 1'; }
postgres2_ready() { postgres_at postgres2 -d postgres -c 'SELECT 1'; }
postgres1_created() { postgres_leads postgres1; }
postgres2_created() { postgres_leads postgres2; }
postgres1_env() { echo "export FORETELL_POSTGRES1_URL=postgres://postgres@127.0.0.1:$(port postgres1)/foretell"; }
postgres2_env() { echo "export FORETELL_POSTGRES2_URL=postgres://postgres@127.0.0.1:$(port postgres2)/foretell"; }

postgres_replicated() { # NAME
  local leader
  leader=$(replicas_leader "$1")
  [ -z "$leader" ] || wait_for "$leader"
  postgres_launch "$1" "$leader"
}

postgres_leads() { # NAME
  [ "$(postgres_at "$1" -d postgres -Atc 'SELECT pg_is_in_recovery()')" = t ] || postgres_create "$1"
}

mariadb1_start() { mariadb_replicated mariadb1; }
mariadb2_start() { mariadb_replicated mariadb2; }
mariadb1_ready() { mariadb_at mariadb1 -e 'SELECT 1'; }
mariadb2_ready() { mariadb_at mariadb2 -e 'SELECT 1'; }
mariadb1_created() { mariadb_leads mariadb1; }
mariadb2_created() { mariadb_leads mariadb2; }
# Nobody but an administrator writes to a server that is read only.
mariadb1_env() { echo "export FORETELL_MARIADB1_URL=mysql://app@127.0.0.1:$(port mariadb1)/foretell"; }
mariadb2_env() { echo "export FORETELL_MARIADB2_URL=mysql://app@127.0.0.1:$(port mariadb2)/foretell"; }

mariadb_replicated() { # NAME
  local leader
  leader=$(replicas_leader "$1")
  [ -z "$leader" ] || { wait_for "$leader"; echo "$leader" >"$dir/$1.follows"; }
  # Names are not asked for, so that nobody without a name is taken for the user.
  mariadb_launch "$1" --innodb-buffer-pool-size=64M --skip-name-resolve --server-id="${1: -1}" \
    --log-bin=binlog --binlog-format=ROW --log-slave-updates
}

mariadb_leads() { # NAME: with the database and its user; or it is given what there is, and follows
  local user="CREATE USER IF NOT EXISTS app; GRANT ALL ON foretell.* TO app;" leader
  if [ -e "$dir/$1.follows" ]; then
    leader=$(<"$dir/$1.follows")
    {
      echo "SET sql_log_bin = 0; $user"
      mariadb-dump --no-defaults --protocol=tcp -h 127.0.0.1 -P "$(port "$leader")" -u root \
        --single-transaction --master-data=1 --gtid --databases foretell
      echo "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = $(port "$leader"), MASTER_USER = 'root',
        MASTER_CONNECT_RETRY = 1; SET GLOBAL read_only = 1; START SLAVE;"
    } | mariadb_at "$1" || return
    rm "$dir/$1.follows"
  elif [ "$(mariadb_at "$1" -Nse 'SELECT @@read_only')" = 0 ]; then
    mariadb_at "$1" -e "CREATE DATABASE IF NOT EXISTS foretell; $user"
  fi
}
