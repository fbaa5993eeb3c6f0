"""The part that writes: vocabulary, writer, loader, migrations and the demo."""

from ingest.stack_hash import message_template, stack_hash

__all__ = ["message_template", "stack_hash"]
