// What each server is made of, pinned: Maven coordinates (group:artifact:version[:type[:classifier]]), the Java versions that it
// runs on, npm and PyPI packages, Debian packages and their programs. Nothing else in this folder names a version.
// Maven Central's mirrors may lack single artifacts of a version, so check the whole set before you change one.

/** The plugin that resolves and copies jars. */
export const MAVEN_JARS = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1';
/** The same for archives: newer versions ask for the artifact's parents, which may not be served, and which an archive does not need. */
export const MAVEN_ARCHIVES = 'org.apache.maven.plugins:maven-dependency-plugin:2.8';

const HADOOP_OF_HBASE = '3.3.5';
const hadoopOfHbase = (names) => names.map((name) => `org.apache.hadoop:hadoop-${name}:${HADOOP_OF_HBASE}`);

export const VERSIONS = {
  elasticsearch: {
    version: '8.19.21',
    java: { min: 17 },
    archive: 'org.elasticsearch.distribution.integ-test-zip:elasticsearch:8.19.21:zip',
  },
  opensearch: {
    version: '2.19.6',
    // 2.x asks for a security manager, which Java 24 no longer has.
    java: { min: 17, max: 23 },
    archive: 'org.opensearch.distribution.integ-test-zip:opensearch:2.19.6:zip',
  },
  hdfs: {
    version: '3.4.2',
    // Hadoop's logins use Subject.getSubject, which Java 24 no longer has.
    java: { min: 17, max: 23 },
    jars: [
      'org.apache.hadoop:hadoop-client-minicluster:3.4.2',
      'org.apache.hadoop:hadoop-client-runtime:3.4.2',
      'org.apache.hadoop:hadoop-client-api:3.4.2',
      // Without it everything under /webhdfs/v1 answers 404.
      'javax.xml.bind:jaxb-api:2.3.1',
      'org.slf4j:slf4j-reload4j:1.7.36',
    ],
  },
  cassandra: {
    version: '5.0.6',
    java: { min: 17, max: 17 },
    jars: ['org.apache.cassandra:cassandra-all:5.0.6'],
  },
  hbase: {
    version: '2.6.1',
    java: { min: 17, max: 23 },
    jars: ['org.apache.hbase:hbase-server:2.6.1-hadoop3', 'org.apache.hbase:hbase-rest:2.6.1', 'org.apache.hbase:hbase-thrift:2.6.1'],
    // Else REST and Thrift, which are built for Hadoop 2, bring its jars beside those of Hadoop 3.
    exclude: { 'org.apache.hbase:hbase-rest': 'org.apache.hadoop:*', 'org.apache.hbase:hbase-thrift': 'org.apache.hadoop:*' },
    managed: [
      'org.apache.hbase:hbase-mapreduce:2.6.1-hadoop3',
      ...hadoopOfHbase(['common', 'auth', 'hdfs', 'hdfs-client', 'client', 'annotations', 'distcp']),
      ...hadoopOfHbase(['mapreduce-client-core', 'yarn-api', 'yarn-client', 'yarn-common']),
    ],
  },
  postgres: {},
  redis: {},
  s3: {
    version: '2.9.0',
    java: { min: 17 },
    jars: ['org.gaul:s3proxy:2.9.0'],
  },
  clickhouse: {},
  kinesis: {
    version: '3.3.3',
    // LevelDB, which kinesalite leaves to who wants files.
    npm: ['kinesalite@3.3.3', 'leveldown@5.6.0'],
  },
  apicurio: {
    version: '3.0.9',
    java: { min: 17 },
    archive: 'io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all',
  },
  flume: {
    version: '1.11.0',
    java: { min: 17, max: 23 },
    jars: [
      'org.apache.flume:flume-ng-node:1.11.0',
      'org.apache.flume.flume-ng-sources:flume-taildir-source:1.11.0',
      'org.apache.flume.flume-ng-sinks:flume-ng-kafka-sink:1.11.0',
      'org.apache.flume.flume-ng-sinks:flume-http-sink:1.11.0',
      // Without these two there is no log, and no error to see.
      'org.apache.logging.log4j:log4j-slf4j-impl:2.17.1',
      'org.apache.logging.log4j:log4j-core:2.17.1',
    ],
  },
  rsyslog: {},
  prometheus: {},
  chromium: {},
};
