# Kerberos: a key distribution centre, and an HDFS and a Kafka that let nobody in without a ticket. By name only.
# apt-get install krb5-kdc krb5-admin-server

REALM=FORETELL.TEST

kdc_command() { # COMMAND..: with this folder's realm
  KRB5_CONFIG=$dir/kdc/krb5.conf KRB5_KDC_PROFILE=$dir/kdc/kdc.conf "$@"
}

kdc_principal() { # NAME: makes it, and its keytab
  kdc_command kadmin.local -q "addprinc -randkey $1" >/dev/null 2>&1
  kdc_command kadmin.local -q "ktadd -k $dir/kdc/${1%%/*}.keytab $1" >/dev/null 2>&1
}

kdc_start() {
  choose_ports kdc 1
  if [ ! -e "$dir/kdc/made" ]; then
    rm -rf "$dir/kdc"
    mkdir -p "$dir/kdc"
    cat >"$dir/kdc/krb5.conf" <<END
[libdefaults]
  default_realm = $REALM
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  ticket_lifetime = 1h
[realms]
  $REALM = {
    kdc = 127.0.0.1:$(port kdc)
  }
END
    cat >"$dir/kdc/kdc.conf" <<END
[kdcdefaults]
  kdc_listen = 127.0.0.1:$(port kdc)
  kdc_tcp_listen = 127.0.0.1:$(port kdc)
[realms]
  $REALM = {
    database_name = $dir/kdc/principal
    key_stash_file = $dir/kdc/stash
    acl_file = $dir/kdc/acl
  }
END
    kdc_command kdb5_util create -s -r $REALM -P secret >>"$dir/kdc.log" 2>&1 || return
    local name
    for name in nn/localhost dn/localhost HTTP/localhost kafka/localhost foretell brief; do kdc_principal "$name"; done
    # Its tickets end after some seconds, so that a test sees them renewed.
    kdc_command kadmin.local -q 'modprinc -maxlife "15 seconds" brief' >/dev/null 2>&1
    touch "$dir/kdc/made"
  fi
  launch kdc env "KRB5_CONFIG=$dir/kdc/krb5.conf" "KRB5_KDC_PROFILE=$dir/kdc/kdc.conf" \
    krb5kdc -n -P "$dir/kdc/own.pid"
}

kdc_ready() {
  KRB5CCNAME=FILE:$dir/kdc/ready.cache kdc_command kinit -k -t "$dir/kdc/foretell.keytab" foretell
}

kdc_env() {
  echo "export FORETELL_KRB5_CONFIG='$dir/kdc/krb5.conf'"
  echo "export FORETELL_KEYTAB='$dir/kdc/foretell.keytab' FORETELL_BRIEF_KEYTAB='$dir/kdc/brief.keytab'"
}

secure_command() { # the java command line up to the main class, in $hdfs_java
  hdfs_java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
    --add-opens=java.base/java.lang=ALL-UNNAMED "-Djava.io.tmpdir=$dir/secure/tmp"
    "-Djava.security.krb5.conf=$dir/kdc/krb5.conf" "-Djdk.net.hosts.file=$dir/secure/conf/hosts"
    -cp "$dir/secure/conf:$(hdfs_jars)/*")
}

secure_configure() {
  choose_ports secure_name 2
  choose_ports secure_data 3
  local conf=$dir/secure/conf
  [ -e "$conf/log4j.properties" ] && return
  mkdir -p "$conf"/webapps/{hdfs,datanode,static} "$dir/secure/tmp"
  printf '127.0.0.1 %s\n' localhost "$HOSTNAME" >"$conf/hosts"
  {
    echo '<configuration>'
    property fs.defaultFS "hdfs://localhost:$(port secure_name)"
    property hadoop.tmp.dir "$dir/secure/tmp"
    property hadoop.security.authentication kerberos
    property hadoop.security.authorization true
    property hadoop.rpc.protection "${HDFS_PROTECTION:-authentication}"
    property ipc.client.connect.retry.interval 200
    property ipc.client.connect.max.retries 100
    echo '</configuration>'
  } >"$conf/core-site.xml"
  {
    echo '<configuration>'
    property dfs.namenode.name.dir "file://$dir/secure/name"
    property dfs.datanode.data.dir "file://$dir/secure/data"
    property dfs.replication 1
    property dfs.blocksize 4194304
    property dfs.permissions.enabled false
    property dfs.namenode.kerberos.principal "nn/localhost@$REALM"
    property dfs.namenode.keytab.file "$dir/kdc/nn.keytab"
    property dfs.datanode.kerberos.principal "dn/localhost@$REALM"
    property dfs.datanode.keytab.file "$dir/kdc/dn.keytab"
    property dfs.web.authentication.kerberos.principal "HTTP/localhost@$REALM"
    property dfs.web.authentication.kerberos.keytab "$dir/kdc/HTTP.keytab"
    property dfs.block.access.token.enable true
    property dfs.data.transfer.protection "${HDFS_PROTECTION:-authentication}"
    property ignore.secure.ports.for.testing true
    property dfs.namenode.http-address "127.0.0.1:$(port secure_name 2)"
    property dfs.datanode.hostname localhost
    property dfs.datanode.address "127.0.0.1:$(port secure_data)"
    property dfs.datanode.ipc.address "127.0.0.1:$(port secure_data 2)"
    property dfs.datanode.http.address "127.0.0.1:$(port secure_data 3)"
    property dfs.heartbeat.interval 1
    property dfs.namenode.safemode.min.datanodes 1
    property dfs.namenode.safemode.extension 0
    echo '</configuration>'
  } >"$conf/hdfs-site.xml"
  echo '*.periodMillis=200' >"$conf/hadoop-metrics2.properties"
  cat >"$conf/log4j.properties" <<'END'
log4j.rootLogger=INFO,err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.target=System.err
log4j.appender.err.layout=org.apache.log4j.PatternLayout
log4j.appender.err.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
END
}

secure_name_start() {
  wait_for kdc
  secure_configure
  local hdfs_java main=org.apache.hadoop.hdfs.server.namenode.NameNode
  secure_command
  [ -e "$dir/secure/name/current/VERSION" ] ||
    "${hdfs_java[@]}" $main -format -nonInteractive </dev/null >>"$dir/secure_name.log" 2>&1 || return
  launch secure_name "${hdfs_java[@]}" $main
}

secure_data_start() {
  secure_configure
  local hdfs_java
  secure_command
  launch secure_data "${hdfs_java[@]}" org.apache.hadoop.hdfs.server.datanode.DataNode
}

secure_name_ready() { [[ $(jmx "$(port secure_name 2)" NameNode,name=FSNamesystemState) == *'"FSState":'* ]]; }

secure_data_ready() {
  local nn dn
  nn=$(jmx "$(port secure_name 2)" NameNode,name=FSNamesystemState) &&
    dn=$(jmx "$(port secure_data 3)" 'DataNode,name=DataNodeActivity*') &&
    [[ $nn == *'"FSState":"Operational"'* && $nn =~ '"CapacityRemaining":'[1-9] &&
      $dn =~ '"BlockReportsNumOps":'[1-9] ]]
}

secure_name_env() {
  echo "export FORETELL_SECURE_HDFS=hdfs://localhost:$(port secure_name) FORETELL_SECURE_HDFS_CONF='$dir/secure/conf'"
}

secure_data_env() { :; }

# Ports: clients without a login (the tests' own), controller, clients with a ticket.
secure_kafka_start() {
  wait_for kdc
  choose_ports secure_kafka 3
  local name=secure_kafka
  if [ ! -e "$dir/$name/server.properties" ]; then
    mkdir -p "$dir/$name"
    kafka_log "$dir/$name/log4j2.xml"
    {
      kafka_alone $name
      cat <<END
listeners=PLAINTEXT://127.0.0.1:$(port $name),CONTROLLER://127.0.0.1:$(port $name 2),SECURE://127.0.0.1:$(port $name 3)
advertised.listeners=PLAINTEXT://127.0.0.1:$(port $name),SECURE://localhost:$(port $name 3)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_PLAINTEXT
listener.name.secure.sasl.enabled.mechanisms=GSSAPI
listener.name.secure.sasl.kerberos.service.name=kafka
listener.name.secure.gssapi.connections.max.reauth.ms=3000
listener.name.secure.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true keyTab="$dir/kdc/kafka.keytab" principal="kafka/localhost@$REALM";
END
    } >"$dir/$name/server.properties"
  fi
  kafka_launch $name "-Djava.security.krb5.conf=$dir/kdc/krb5.conf"
}

secure_kafka_ready() { [[ $(timeout 5 kcat -b "127.0.0.1:$(port secure_kafka)" -L -m 3) == *"broker 1 at "*controller* ]]; }

secure_kafka_env() {
  echo "export FORETELL_SECURE_KAFKA=localhost:$(port secure_kafka 3) FORETELL_SECURE_KAFKA_OPEN=127.0.0.1:$(port secure_kafka)"
}
