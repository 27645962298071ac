"""The real components of a run, and what can be done to them."""

import subprocess
import sys
from contextlib import closing, suppress

import psutil
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from psycopg.conninfo import conninfo_to_dict

from leadline.testing.servers.kafka import Kafka, fetch_jars
from leadline.testing.servers.postgres import Postgres
from leadline.testing.servers.process import free_ports
from soak.owners import Owner
from soak.proxy import ProxyThread
from soak.schedule import SLOTS

BROKER, DATABASE = "broker", "database"

STALL_SECONDS = 5
"""A reader whose client stalls after an outage is made anew after so long; with the default of 30 s
the rounds would wait, not fail."""


class World:
    """Kafka and PostgreSQL, and before each of them a proxy for every owner slot.

    Args:
        folder: everything that the run keeps; must not exist.
        tools: where Kafka's jars are.
        partitions: of both topics.
        settings: what all owners have in common beside their addresses.
    """

    def __init__(self, folder, tools, partitions, settings):
        self.folder, self.partitions = folder, partitions
        folder.mkdir(parents=True)
        ports = free_ports(3 * SLOTS)
        behind, brokers, databases = ports[:SLOTS], ports[SLOTS : 2 * SLOTS], ports[2 * SLOTS :]
        ways = list(zip(behind, brokers, strict=True))
        self.kafka = Kafka(folder / "kafka", fetch_jars(tools / "kafka"), through=ways)
        self.postgres = Postgres(folder / "postgres", {"fsync": "off"})
        self._thread = ProxyThread()
        self._ways, self._databases, self._settings = ways, databases, settings
        self.proxies = {}  # (slot, BROKER or DATABASE) -> Proxy
        self.owners = []

    def start(self):
        """Starts the servers, opens the proxies, makes the topics; owners are not started."""
        self.kafka.start(180.0)
        self.postgres.start(180.0)
        info = conninfo_to_dict(self.postgres.uri)
        for slot, (behind, before) in enumerate(self._ways):
            self.proxies[slot, BROKER] = self._thread.proxy(before, behind)
            port = self._databases[slot]
            self.proxies[slot, DATABASE] = self._thread.proxy(port, int(info["port"]))
            settings = {
                "log_url": f"kafka://127.0.0.1:{before}?stall_seconds={STALL_SECONDS}",
                "store_url": self.postgres.uri.replace(f":{info['port']}/", f":{port}/"),
                "stream": "main",
                "partitions": self.partitions,
            }
            folder = self.folder / f"slot-{slot}"
            self.owners.append(Owner(slot, folder, {**settings, **self._settings}))
        self._make_topics()

    def _make_topics(self):
        command = [sys.executable, "-m", "leadline", "topics", "create"]
        command += ["--log", f"kafka://{self.kafka.bootstrap}"]
        command += ["--partitions", str(self.partitions)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def close(self):
        """Ends everything; the folder stays."""
        for owner in self.owners:
            if owner.running:
                owner.kill()
        self._thread.close()
        with suppress(Exception):
            self.postgres.start()  # a start takes away what a crash left behind
        self.postgres.stop()
        self.kafka.kill()

    def stamp(self, topic, kind):
        """Who writes the append times of a topic: the broker ("LogAppendTime") or "CreateTime"."""
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)) as admin:
            change = {"message.timestamp.type": kind}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, change)])

    def crash_database(self):
        """Kills every process of PostgreSQL at once, as the end of its machine does.

        The others are in sessions of their own, so a signal to the group misses them; as long as
        one lives, the old shared memory is in use, and a new server refuses to start.
        """
        leader = psutil.Process(self.postgres.process.pid)
        family = leader.children(recursive=True)
        self.postgres.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
