# What all services share: processes, ports, jars. Sourced by dev/services.
# A service NAME has NAME.pid, NAME.log and NAME.ports in $dir and the functions
#   NAME_start    make configuration and data where there are none, then `launch`
#   NAME_ready    true when a client can work with it
#   NAME_created  optional, after the start of all: databases, folders
#   NAME_env      lines for $dir/env

# shellcheck disable=SC2046,SC2086 # lists of process ids are split on purpose
export MALLOC_ARENA_MAX=2
shopt -s extglob

state_of() { # PID -> its state letter, nothing when there is no such process
  sed -n 's/^State:\s*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true
}

ours() { # PID: a running process that was started for this folder
  # Every service has the folder in its command line; a recycled pid has not.
  grep -qzsF -- "$dir/" "/proc/$1/cmdline"
}

alive() { # NAME
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) && [ -n "$pid" ] && ours "$pid"
}

launch() { # NAME COMMAND..: in the background, detached, logging to NAME.log
  local name=$1
  shift
  # 9 is the lock: a service must not inherit it. The session of its own keeps Ctrl-C away.
  (cd / && exec setsid "$@") </dev/null >>"$dir/$name.log" 2>&1 9>&- &
  echo $! >"$dir/$name.pid"
}

descendants() { # PID
  local p
  for p in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do echo "$p"; descendants "$p"; done
}

family() { # NAME: its process and all below it
  local pid
  pid=$(<"$dir/$1.pid")
  echo "$pid" $(descendants "$pid")
}

freeze() { need "$1"; kill -STOP $(family "$1"); }

thaw() { need "$1"; kill -CONT $(family "$1"); }

gone() { # NAME SECONDS: wait for its end
  local i
  for ((i = 0; i < $2 * 20; i++)); do
    alive "$1" || { rm -f "$dir/$1.pid"; return 0; }
    sleep 0.05
  done
  return 1
}

kill_hard() { # NAME: kill -9 it and its children, as a machine that stops would
  local all p
  alive "$1" || { rm -f "$dir/$1.pid"; return 0; }
  all=$(family "$1")
  kill -KILL $all 2>/dev/null || true
  # A zombie is gone for all that matters: its files are closed, its ports free.
  for p in $all; do
    while [[ $(state_of "$p") = [!Z] ]]; do sleep 0.02; done
  done
  rm -f "$dir/$1.pid"
}

wait_for() { # NAME: until ready; fails when the process ends. Seconds are usual; the limit is for a machine under load
  local end=$((SECONDS + 180))
  while [ $SECONDS -lt $end ]; do
    "$1_ready" >/dev/null 2>&1 && return 0
    alive "$1" || fail "$1 ended while starting; see $dir/$1.log"
    sleep 0.1
  done
  fail "$1 is not usable after 180 s; see $dir/$1.log"
}

locked() { # FUNCTION ARG..: one `up` or `down` at a time in a folder
  exec 9>"$dir/lock"
  flock -w 300 9 || fail "another run holds $dir/lock"
  "$@"
}

port() { # NAME [I]: the service's I-th port (from 1)
  cut -d' ' -f"${2:-1}" "$dir/$1.ports"
}

choose_ports() { # NAME COUNT: once for a folder, then kept
  [ -s "$dir/$1.ports" ] && return
  # Below the range that outgoing connections get theirs from, so that a port stays free
  # while its service is down. A folder's claim lasts as long as the folder.
  local claims=$cache/ports p found=()
  mkdir -p "$claims"
  exec 8>"$claims/lock"
  flock 8
  while [ ${#found[@]} -lt "$2" ]; do
    p=$((20000 + RANDOM % 12000))
    [ -e "$claims/$p" ] && [ -d "$(<"$claims/$p")" ] && continue
    (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null && continue
    echo "$dir" >"$claims/$p"
    found+=("$p")
  done
  exec 8>&-
  echo "${found[*]}" >"$dir/$1.ports"
}

jars() { # NAME POM MARKER: the folder with the jars, by Maven when they are not there
  local lib=$cache/$1
  if [ ! -e "$lib/$3" ]; then
    (
      mkdir -p "$cache"
      exec 8>"$cache/$1.lock"
      flock 8
      [ -e "$lib/$3" ] && exit
      echo "services: fetching $1 jars into $lib" >&2
      rm -rf "$lib.new"
      mvn -q -B -f "$here/$2" dependency:copy-dependencies -DoutputDirectory="$lib.new" \
        -DincludeScope=runtime >"$cache/$1.log" 2>&1 || { cat "$cache/$1.log" >&2; exit 1; }
      rm -rf "$lib"
      mv "$lib.new" "$lib"
    ) || fail "Maven could not fetch the $1 jars; is Maven Central reachable?"
  fi
  echo "$lib"
}
