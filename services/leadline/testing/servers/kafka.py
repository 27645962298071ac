"""Apache Kafka on loopback: one KRaft node, broker and controller in one process.

The jars come from Maven once (`fetch_jars`) and are shared by every node that uses them. A node
keeps its port and its data in its folder, so a killed one starts again as the same cluster under
the same address.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from leadline.testing.servers.process import (
    ManagedProcess,
    ServerError,
    accepts,
    find_program,
    free_ports,
)

KAFKA = "4.4.0"
LOG4J = "2.25.1"
HEAP = "-Xmx512m"
CLUSTER_ID = "bGVhZGxpbmUtdGVzdHMtMQ"  # any 16 bytes in base 64
JAVA_REMEDY = "Install Java 17 or newer: `apt-get install default-jre-headless`, or `make tools`."
MAVEN_REMEDY = "Install Maven: `apt-get install maven`, or run `make tools`."

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>leadline</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J}</version>
    </dependency>
  </dependencies>
</project>
"""

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=1000
"""


def fetch_jars(folder: Path) -> Path:
    """Kafka's jars in `folder`, by Maven where they are not there yet (43 MB); returns `folder`.

    Raises:
        MissingProgramError: Maven is needed and not installed.
        ServerError: Maven failed; the message holds the end of what it said.
    """
    complete = folder / f"kafka-{KAFKA}-log4j-{LOG4J}.complete"
    if complete.exists():
        return folder
    maven = find_program("mvn", MAVEN_REMEDY)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.jar"):
        stale.unlink()
    pom = folder / "pom.xml"
    pom.write_text(POM, encoding="utf-8")
    cache = folder / "maven"
    options = [f"-DoutputDirectory={folder.resolve()}", f"-Dmaven.repo.local={cache.resolve()}"]
    result = subprocess.run(
        [maven, "-q", "-B", "-f", pom, "dependency:copy-dependencies", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise ServerError(f"Maven could not fetch Kafka {KAFKA}:\n{result.stdout[-4000:]}")
    shutil.rmtree(cache)
    complete.touch()
    return folder


class Kafka:
    """One Kafka node on loopback.

    Args:
        folder: its configuration, data and log. Made if missing; kept on stop.
        jars: where `fetch_jars` put the jars.
        through: further listeners, for proxies: (port it listens on, port that clients who come
            this way are sent to). A broker tells clients where to connect: a proxy needs its own.

    Raises:
        MissingProgramError: Java is not installed.
        ServerError: the jars are not there.
    """

    def __init__(self, folder: Path, jars: Path, through: Sequence[tuple[int, int]] = ()) -> None:
        if not any(jars.glob("kafka_*.jar")):
            raise ServerError(f"no Kafka jars in {jars}: run `make tools`")
        self._folder = folder.resolve()
        self._through = tuple(through)
        self._java = [str(find_program("java", JAVA_REMEDY)), "-cp", f"{jars.resolve()}/*"]
        self._port, self._controller_port = free_ports(2)
        properties = self._folder / "server.properties"
        command = [*self._java, HEAP, "kafka.Kafka", str(properties)]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = ManagedProcess("kafka", command, self._folder)

    @property
    def bootstrap(self) -> str:
        """The address for clients, `host:port`. It stays the same over restarts."""
        return f"127.0.0.1:{self._port}"

    @property
    def process(self) -> ManagedProcess:
        """The running program, for its log and its process id."""
        return self._process

    def start(self, deadline_s: float = 60.0) -> None:
        """Starts the node on the data in its folder; returns once it takes requests (4 to 6 s).

        Raises:
            ServerError: it was not ready in time.
        """
        data = self._folder / "data"
        if not (data / "meta.properties").exists():
            self._format(data)
        self._process.start(self.ready, deadline_s)

    def ready(self) -> bool:
        """Whether the node answers and counts itself among the live brokers."""
        if not accepts(self._port):
            return False
        with suppress(KafkaError, OSError), closing(self._admin()) as admin:
            return bool(admin.describe_cluster()["brokers"])
        return False

    def create_topic(
        self, name: str, partitions: int = 1, settings: Mapping[str, str] | None = None
    ) -> None:
        """Makes a topic as Leadline's services want it: append times by the log, no expiry.

        Args:
            name: of a topic that does not exist.
            partitions: 1 or more.
            settings: topic settings by Kafka's names, beside or instead of those two.

        Raises:
            KafkaError: it exists, or a setting is not valid.
        """
        configs = {
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": "-1",
            **(settings or {}),
        }
        with closing(self._admin()) as admin:
            admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])

    def stop(self, budget_s: float = 20.0) -> None:
        """Stops in an orderly way; the data stay."""
        self._process.stop(budget_s)

    def kill(self) -> None:
        """Crashes the node; `start` afterwards recovers on the same data and address.

        That takes 7 s: the controller lets a broker in again when its old session has ended.
        """
        self._process.kill()

    def pause(self) -> None:
        """Freezes the node: connections stay open, requests wait."""
        self._process.pause()

    def resume(self) -> None:
        """Lets a frozen node go on."""
        self._process.resume()

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(
            bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=5_000, request_timeout_ms=5_000
        )

    def _format(self, data: Path) -> None:
        properties = self._folder / "server.properties"
        ways = [(f"WAY{at}", *ports) for at, ports in enumerate(self._through)]
        properties.write_text(
            PROPERTIES.format(
                broker=self._port,
                controller=self._controller_port,
                data=data,
                listeners="".join(f",{name}://127.0.0.1:{port}" for name, port, _ in ways),
                advertised="".join(f",{name}://127.0.0.1:{port}" for name, _, port in ways),
                protocols="".join(f",{name}:PLAINTEXT" for name, *_ in ways),
            ),
            encoding="utf-8",
        )
        tool = [*self._java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]
        result = subprocess.run(
            [*tool, "-c", str(properties)], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise ServerError(f"Kafka's storage was not formatted:\n{result.stderr[-4000:]}")
