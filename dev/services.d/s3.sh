# An S3 service: S3Proxy over a local folder, with signed requests and the bucket `foretell`.

S3PROXY_VERSION=4.1.0

s3_jars() { jars "s3proxy-$S3PROXY_VERSION" s3-pom.xml "s3proxy-$S3PROXY_VERSION.jar"; }

s3_start() {
  choose_ports s3 1
  mkdir -p "$dir/s3/data/foretell"
  cat >"$dir/s3/s3proxy.conf" <<END
s3proxy.endpoint=http://127.0.0.1:$(port s3)
s3proxy.authorization=aws-v4
s3proxy.identity=foretell
s3proxy.credential=not-a-secret
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir=$dir/s3/data
END
  cat >"$dir/s3/logback.xml" <<'END'
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %p %c{0}: %m%n</pattern></encoder></appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
END
  local lib
  lib=$(s3_jars)
  launch s3 java -Xmx192m -XX:-UsePerfData -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    "-Dlogback.configurationFile=$dir/s3/logback.xml" "-Djava.io.tmpdir=$dir/s3" -cp "$lib/*" org.gaul.s3proxy.Main --properties "$dir/s3/s3proxy.conf"
}

# Unsigned, the answer is a refusal: it answers.
s3_ready() { curl -s -m 2 -o /dev/null "http://127.0.0.1:$(port s3)/foretell"; }

s3_env() {
  echo "export FORETELL_S3=http://127.0.0.1:$(port s3)"
  echo "export FORETELL_S3_KEY=foretell FORETELL_S3_SECRET=not-a-secret"
}
