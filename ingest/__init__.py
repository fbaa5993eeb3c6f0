"""The part that writes: the client a product calls, the log, the loader and the demo."""

from ingest import scrub
from ingest.client import Client
from ingest.events import Error, Event, Trace
from ingest.stack_hash import message_template, stack_hash
from ingest.vocabulary import ChannelType, CortexEventName, EventSeverity

__all__ = [
    "ChannelType",
    "Client",
    "CortexEventName",
    "Error",
    "Event",
    "EventSeverity",
    "Trace",
    "message_template",
    "scrub",
    "stack_hash",
]
