# A schema registry: Apicurio with its data in memory, reached by Confluent's interface.

REGISTRY_VERSION=2.6.13.Final

registry_jars() { # the folder of the server, fetched by Maven and unpacked once
  local lib=$cache/registry-$REGISTRY_VERSION name=apicurio-registry-app
  if [ ! -e "$lib/$name-$REGISTRY_VERSION-runner.jar" ]; then
    (
      mkdir -p "$cache"
      exec 8>"$lib.lock"
      flock 8
      [ -e "$lib/$name-$REGISTRY_VERSION-runner.jar" ] && exit
      echo "services: fetching the registry into $lib" >&2
      rm -rf "$lib.new"
      mkdir -p "$lib.new"
      mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        -Dartifact="io.apicurio:$name:$REGISTRY_VERSION:tar.gz:all" -DoutputDirectory="$lib.new" >"$lib.log" 2>&1 ||
        { cat "$lib.log" >&2; exit 1; }
      tar -xzf "$lib.new/$name-$REGISTRY_VERSION-all.tar.gz" -C "$lib.new"
      rm "$lib.new/$name-$REGISTRY_VERSION-all.tar.gz"
      rm -rf "$lib"
      mv "$lib.new" "$lib"
    ) || fail "Maven could not fetch the registry; is Maven Central reachable?"
  fi
  echo "$lib"
}

registry_start() {
  choose_ports registry 1
  mkdir -p "$dir/registry/tmp"
  local lib
  lib=$(registry_jars)
  launch registry java -Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
    "-Djava.io.tmpdir=$dir/registry/tmp" -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$(port registry)" \
    -jar "$lib/apicurio-registry-app-$REGISTRY_VERSION-runner.jar"
}

registry_ready() { [[ $(curl -sf -m 2 "http://127.0.0.1:$(port registry)/apis/ccompat/v7/subjects") == '['* ]]; }

registry_env() { echo "export FORETELL_REGISTRY=http://127.0.0.1:$(port registry)/apis/ccompat/v7"; }
