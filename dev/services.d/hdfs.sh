# HDFS, one NameNode and one DataNode; and datanode2, a second one.
# Ports of the NameNode: RPC, HTTP (WebHDFS); of the DataNode: data, IPC, HTTP.

HADOOP_VERSION=3.4.3

hdfs_jars() { jars "hdfs-$HADOOP_VERSION" hdfs-pom.xml "hadoop-hdfs-$HADOOP_VERSION.jar"; }

hdfs_command() { # the java command line up to the main class, in $hdfs_java
  # WebHDFS (Jersey 1) needs the --add-opens on Java 17; plain RPC does not.
  hdfs_java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
    --add-opens=java.base/java.lang=ALL-UNNAMED "-Djava.io.tmpdir=$dir/hdfs/tmp"
    "-Djdk.net.hosts.file=$dir/hdfs/conf/hosts"
    -cp "$dir/hdfs/conf:$(hdfs_jars)/*")
}

property() { printf '  <property><name>%s</name><value>%s</value></property>\n' "$1" "$2"; }

hdfs_configure() {
  choose_ports namenode 2
  choose_ports datanode 3
  local conf=$dir/hdfs/conf
  [ -e "$conf/log4j.properties" ] && return
  # The jars lack the web pages, but the HTTP servers insist on the folders.
  mkdir -p "$conf"/webapps/{hdfs,datanode,static} "$dir/hdfs/tmp"
  # Hadoop looks its own host up and ends where the name does not resolve, as in some containers.
  printf '127.0.0.1 %s\n' localhost "$HOSTNAME" >"$conf/hosts"
  {
    echo '<configuration>'
    property fs.defaultFS "hdfs://127.0.0.1:$(port namenode)"
    property hadoop.tmp.dir "$dir/hdfs/tmp"
    property ipc.client.connect.retry.interval 200    # DataNode: find a new NameNode fast
    property ipc.client.connect.max.retries 100
    echo '</configuration>'
  } >"$conf/core-site.xml"
  {
    echo '<configuration>'
    property dfs.namenode.name.dir "file://$dir/hdfs/name"
    property dfs.datanode.data.dir "file://$dir/hdfs/data"
    property dfs.replication "${HDFS_REPLICATION:-1}"
    property dfs.blocksize "${HDFS_BLOCK:-4194304}"   # an open file reserves a whole block of the disk
    property dfs.permissions.enabled false
    property dfs.namenode.http-address "127.0.0.1:$(port namenode 2)"
    property dfs.datanode.hostname 127.0.0.1
    property dfs.datanode.address "127.0.0.1:$(port datanode)"
    property dfs.datanode.ipc.address "127.0.0.1:$(port datanode 2)"
    property dfs.datanode.http.address "127.0.0.1:$(port datanode 3)"
    property dfs.heartbeat.interval 1
    property dfs.namenode.heartbeat.recheck-interval 1000  # dead after 2 x 1 s + 10 x 1 s
    property dfs.namenode.stale.datanode.interval 6000
    property dfs.namenode.safemode.min.datanodes 1         # safe mode until the DataNode is in
    property dfs.namenode.safemode.extension 0
    property dfs.client.block.write.replace-datanode-on-failure.policy NEVER
    echo '</configuration>'
  } >"$conf/hdfs-site.xml"
  # JMX answers at most this old; the readiness checks read it.
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

namenode_start() {
  hdfs_configure
  local hdfs_java main=org.apache.hadoop.hdfs.server.namenode.NameNode
  hdfs_command
  [ -e "$dir/hdfs/name/current/VERSION" ] ||
    "${hdfs_java[@]}" $main -format -nonInteractive </dev/null >>"$dir/namenode.log" 2>&1 || return
  launch namenode "${hdfs_java[@]}" $main
}

datanode_start() {
  hdfs_configure
  local hdfs_java
  hdfs_command
  launch datanode "${hdfs_java[@]}" org.apache.hadoop.hdfs.server.datanode.DataNode
}

jmx() { # PORT BEAN
  curl -sf -m 2 -G "http://127.0.0.1:$1/jmx" --data-urlencode "qry=Hadoop:service=$2" | tr -d ' \n'
}

# A NameNode without its DataNode stays in safe mode, so it is ready when it answers; the DataNode is
# ready when files can be written: safe mode is over, the space is known, the blocks are reported.
namenode_ready() { [[ $(jmx "$(port namenode 2)" NameNode,name=FSNamesystemState) == *'"FSState":'* ]]; }

datanode_ready() {
  local nn dn
  nn=$(jmx "$(port namenode 2)" NameNode,name=FSNamesystemState) &&
    dn=$(jmx "$(port datanode 3)" 'DataNode,name=DataNodeActivity*') &&
    [[ $nn == *'"FSState":"Operational"'* && $nn =~ '"CapacityRemaining":'[1-9] &&
      $dn =~ '"BlockReportsNumOps":'[1-9] ]]
}

namenode_env() {
  echo "export FORETELL_HDFS=hdfs://127.0.0.1:$(port namenode)"
  echo "export FORETELL_WEBHDFS=http://127.0.0.1:$(port namenode 2)"
}

datanode_env() { :; }

datanode2_start() {
  choose_ports datanode2 3
  local hdfs_java
  hdfs_command
  launch datanode2 "${hdfs_java[@]}" org.apache.hadoop.hdfs.server.datanode.DataNode \
    -D "dfs.datanode.data.dir=file://$dir/hdfs/data2" -D "dfs.datanode.address=127.0.0.1:$(port datanode2)" \
    -D "dfs.datanode.ipc.address=127.0.0.1:$(port datanode2 2)" \
    -D "dfs.datanode.http.address=127.0.0.1:$(port datanode2 3)"
}

datanode2_ready() { [[ $(jmx "$(port datanode2 3)" 'DataNode,name=DataNodeActivity*') =~ '"BlockReportsNumOps":'[1-9] ]]; }

datanode2_env() { :; }

hdfs_shell() {
  local hdfs_java
  hdfs_command
  "${hdfs_java[@]}" org.apache.hadoop.fs.FsShell "$@"
}
