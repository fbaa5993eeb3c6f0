"""The part that writes: the client a product calls, the log, the loader and the demo.

Names a host may never use are loaded when they are asked for; `import ingest` stays light.
"""

from importlib import import_module

from ingest.client import Client
from ingest.stack_hash import message_template, stack_hash
from ingest.vocabulary import ChannelType, CortexEventName, EventSeverity

_LATER = {
    "Error": "ingest.events",
    "Event": "ingest.events",
    "ExtensionTelemetryClient": "ingest.older",
    "MCPTelemetryClient": "ingest.older",
    "MCPTools": "ingest.mcp",
    "TelemetryClient": "ingest.older",
    "TelemetryError": "ingest.older",
    "TelemetryEvent": "ingest.older",
    "TelemetryStorage": "ingest.storage",
    "TelemetryTrace": "ingest.older",
    "Trace": "ingest.events",
    "get_extension_telemetry_client": "ingest.older",
    "get_mcp_telemetry_client": "ingest.older",
    "instrument_tool": "ingest.mcp",
}
__all__ = [
    "ChannelType",
    "Client",
    "CortexEventName",
    "Error",
    "Event",
    "EventSeverity",
    "ExtensionTelemetryClient",
    "MCPTelemetryClient",
    "MCPTools",
    "TelemetryClient",
    "TelemetryError",
    "TelemetryEvent",
    "TelemetryStorage",
    "TelemetryTrace",
    "Trace",
    "get_extension_telemetry_client",
    "get_mcp_telemetry_client",
    "instrument_tool",
    "message_template",
    "scrub",
    "stack_hash",
]


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for."""
    if name == "scrub":
        return import_module("ingest.scrub")
    if name not in _LATER:
        raise AttributeError(f"module 'ingest' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
