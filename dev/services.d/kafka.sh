# Apache Kafka, one node in KRaft mode. Ports: clients, controller, clients that log in with unsecured tokens, clients by
# way of a proxy, and the proxy that this last listener gives as its address.

KAFKA_VERSION=4.3.1

kafka_java() { # MAIN_CLASS ARG..: a tool
  java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    "-Dlog4j2.configurationFile=$dir/kafka/log4j2.xml" -cp "$(kafka_jars)/*" "$@"
}

kafka_jars() { jars "kafka-$KAFKA_VERSION" kafka-pom.xml "kafka_2.13-$KAFKA_VERSION.jar"; }

kafka_log() { # FILE: where a broker's log goes
  cat >"$1" <<'END'
<Configuration status="ERROR">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
END
}

kafka_alone() { # NAME: the settings of a broker without others, but for its listeners
  # One replica of everything, one partition of the inner topics, no wait for further group members.
  # The short broker session lets a killed broker register again at once. Topics are made on purpose only.
  cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(port "$1" 2)
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$dir/$1/data
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

kafka_launch() { # NAME JAVA_FLAG..: a broker without others, whose server.properties and log4j2.xml are in its folder
  local name=$1 lib
  shift
  lib=$(kafka_jars)
  [ -e "$dir/$name/data/meta.properties" ] ||
    java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$dir/$name/log4j2.xml" \
      -cp "$lib/*" kafka.tools.StorageTool format -t "$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d =)" \
      -c "$dir/$name/server.properties" >>"$dir/$name.log" 2>&1
  launch "$name" java -Xmx512m -XX:-UsePerfData "-Dlog4j2.configurationFile=$dir/$name/log4j2.xml" "$@" \
    -cp "$lib/*" kafka.Kafka "$dir/$name/server.properties"
}

kafka_configure() {
  mkdir -p "$dir/kafka"
  kafka_log "$dir/kafka/log4j2.xml"
  {
    kafka_alone kafka
    cat <<END
listeners=PLAINTEXT://127.0.0.1:$(port kafka),CONTROLLER://127.0.0.1:$(port kafka 2),OAUTH://127.0.0.1:$(port kafka 3),PROXIED://127.0.0.1:$(port kafka 4)
advertised.listeners=PLAINTEXT://127.0.0.1:$(port kafka),OAUTH://127.0.0.1:$(port kafka 3),PROXIED://127.0.0.1:$(port kafka 5)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OAUTH:SASL_PLAINTEXT,PROXIED:PLAINTEXT
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.connections.max.reauth.ms=3000
listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
END
  } >"$dir/kafka/server.properties"
}

kafka_start() {
  choose_ports kafka 5
  [ -e "$dir/kafka/server.properties" ] || kafka_configure
  kafka_launch kafka
}

kafka_ready() { [[ $(timeout 5 kcat -b "127.0.0.1:$(port kafka)" -L -m 3) == *"broker 1 at "*controller* ]]; }

kafka_env() {
  echo "export FORETELL_KAFKA=127.0.0.1:$(port kafka)"
  echo "export FORETELL_KAFKA_OAUTH=127.0.0.1:$(port kafka 3)"
  echo "export FORETELL_KAFKA_PROXIED=127.0.0.1:$(port kafka 4) FORETELL_KAFKA_PROXY=127.0.0.1:$(port kafka 5)"
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
