# Apache Kafka, one node in KRaft mode. Ports: clients, controller, clients that log in with unsecured tokens.

KAFKA_VERSION=4.3.1

kafka_java() { # MAIN_CLASS ARG..: a tool
  java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    "-Dlog4j2.configurationFile=$dir/kafka/log4j2.xml" -cp "$(kafka_jars)/*" "$@"
}

kafka_jars() { jars "kafka-$KAFKA_VERSION" kafka-pom.xml "kafka_2.13-$KAFKA_VERSION.jar"; }

kafka_configure() {
  mkdir -p "$dir/kafka"
  cat >"$dir/kafka/log4j2.xml" <<'END'
<Configuration status="ERROR">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
END
  # One replica of everything, one partition of the inner topics, no wait for further group members.
  # The short broker session lets a killed broker register again at once. Topics are made on purpose only.
  cat >"$dir/kafka/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(port kafka 2)
listeners=PLAINTEXT://127.0.0.1:$(port kafka),CONTROLLER://127.0.0.1:$(port kafka 2),OAUTH://127.0.0.1:$(port kafka 3)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OAUTH:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.connections.max.reauth.ms=3000
listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
controller.listener.names=CONTROLLER
log.dirs=$dir/kafka/data
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
END
}

kafka_start() {
  choose_ports kafka 3
  local lib
  lib=$(kafka_jars)
  [ -e "$dir/kafka/server.properties" ] || kafka_configure
  [ -e "$dir/kafka/data/meta.properties" ] ||
    kafka_java kafka.tools.StorageTool format -t "$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d =)" \
      -c "$dir/kafka/server.properties" >>"$dir/kafka.log" 2>&1
  launch kafka java -Xmx512m -XX:-UsePerfData "-Dlog4j2.configurationFile=$dir/kafka/log4j2.xml" \
    -cp "$lib/*" kafka.Kafka "$dir/kafka/server.properties"
}

kafka_ready() { [[ $(timeout 5 kcat -b "127.0.0.1:$(port kafka)" -L -m 3) == *"broker 1 at "*controller* ]]; }

kafka_env() {
  echo "export FORETELL_KAFKA=127.0.0.1:$(port kafka)"
  echo "export FORETELL_KAFKA_OAUTH=127.0.0.1:$(port kafka 3)"
}

kafka_topics() { kafka_java org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$(port kafka)" "$@"; }

kafka_topic_create() { # NAME PARTITIONS [CONFIG=VALUE..]
  local name=$1 partitions=$2 config flags=()
  shift 2
  for config; do flags+=(--config "$config"); done
  kafka_topics --create --topic "$name" --partitions "$partitions" --replication-factor 1 "${flags[@]}"
}

kafka_topic_list() { kafka_topics --list; }

kafka_topic_cat() { # NAME: partition, offset, key, size of the value (-1 is null), value, headers; by tabs
  kcat -b "127.0.0.1:$(port kafka)" -C -t "$1" -e -q -X isolation.level=read_committed \
    -f '%p\t%o\t%k\t%S\t%s\t%h\n' | sort -s -n -k1,1 -k2,2
}
