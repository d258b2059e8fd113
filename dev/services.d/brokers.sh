# A Kafka cluster of three: broker1, broker2, broker3, each a controller, too. Ports of each: clients, controllers,
# clients by way of a proxy, and the proxy that this last listener gives as its address.

brokers_bootstrap() { # I: the addresses of all, by their I-th ports
  echo "127.0.0.1:$(port broker1 "$1"),127.0.0.1:$(port broker2 "$1"),127.0.0.1:$(port broker3 "$1")"
}

broker_configure() { # NUMBER
  local n=$1 name=broker$1
  mkdir -p "$dir/$name"
  kafka_log "$dir/$name/log4j2.xml"
  # Short sessions, so that the cluster notices within seconds what takes a minute by default.
  cat >"$dir/$name/server.properties" <<END
process.roles=broker,controller
node.id=$n
controller.quorum.voters=1@127.0.0.1:$(port broker1 2),2@127.0.0.1:$(port broker2 2),3@127.0.0.1:$(port broker3 2)
listeners=PLAINTEXT://127.0.0.1:$(port "$name"),PROXIED://127.0.0.1:$(port "$name" 3),CONTROLLER://127.0.0.1:$(port "$name" 2)
advertised.listeners=PLAINTEXT://127.0.0.1:$(port "$name"),PROXIED://127.0.0.1:$(port "$name" 4)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$dir/$name/data
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=5000
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
log.retention.check.interval.ms=2000
log.initial.task.delay.ms=2000
END
}

broker_start() { # NUMBER
  local n=$1 name=broker$1 lib
  for n in 1 2 3; do choose_ports "broker$n" 4; done
  n=$1
  lib=$(kafka_jars)
  [ -e "$dir/brokers.id" ] || head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d = >"$dir/brokers.id"
  [ -e "$dir/$name/server.properties" ] || broker_configure "$n"
  [ -e "$dir/$name/data/meta.properties" ] ||
    java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$dir/$name/log4j2.xml" \
      -cp "$lib/*" kafka.tools.StorageTool format -t "$(<"$dir/brokers.id")" \
      -c "$dir/$name/server.properties" >>"$dir/$name.log" 2>&1
  launch "$name" java -Xmx320m -XX:+UseSerialGC -XX:-UsePerfData "-Dlog4j2.configurationFile=$dir/$name/log4j2.xml" \
    -cp "$lib/*" kafka.Kafka "$dir/$name/server.properties"
}

# Asked alone, a broker knows all three when it has joined them; while others are down, itself is enough.
broker_ready() { [[ $(timeout 5 kcat -b "127.0.0.1:$(port "$1")" -L -m 3) == *"broker ${1#broker} at "* ]]; }

broker1_start() { broker_start 1; }
broker2_start() { broker_start 2; }
broker3_start() { broker_start 3; }
broker1_ready() { broker_ready broker1; }
broker2_ready() { broker_ready broker2; }
broker3_ready() { broker_ready broker3; }
broker1_env() {
  echo "export FORETELL_BROKERS=$(brokers_bootstrap 1)"
  echo "export FORETELL_BROKERS_PROXIED=$(brokers_bootstrap 3) FORETELL_BROKERS_PROXY=$(brokers_bootstrap 4)"
}
broker2_env() { :; }
broker3_env() { :; }
