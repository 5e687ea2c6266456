"""A second broker in the cluster of a ``KafkaServer``, which leads partitions of its own and may be killed."""

from tests.servers.kafka import KafkaServer

_PROPERTIES = """
process.roles=broker
node.id={node}
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
"""
_REPLACED = ("process.roles=", "node.id=", "listeners=", "advertised.listeners=")


class SecondBroker(KafkaServer):
    """Broker 2; broker and controller 1 is ``first``, which runs before it starts."""

    NODE = 2

    def __init__(self, first: KafkaServer) -> None:
        super().__init__()
        self._first = first
        self.cluster_id = first.cluster_id

    def _properties(self) -> str:
        lines = [line for line in super()._properties().splitlines() if not line.startswith(_REPLACED)]
        own = f"127.0.0.1:{self.controller_port}"
        self.controller_port = self._first.controller_port
        shared = "\n".join(lines).replace(own, f"127.0.0.1:{self.controller_port}")
        return shared + _PROPERTIES.format(node=self.NODE, port=self.port)

    def _storage_options(self) -> list[str]:
        return ["--no-initial-controllers"]
