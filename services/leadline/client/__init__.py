"""Logs predictions and labels of a production service, in three lines.

from leadline.client import Log

log = Log(model="digits", version="2", to="kafka://broker:9092")
log.prediction("order-17", [0.1, 0.7, 0.2])
log.label("order-17", 1)
"""

from leadline.client.edge import RefusedError
from leadline.client.log import ClientStats, Log, new_id
from leadline.runtime.producer import ProducerLimits

__all__ = ["ClientStats", "Log", "ProducerLimits", "RefusedError", "new_id"]
