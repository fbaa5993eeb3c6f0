"""The part that writes: vocabulary, writer, loader, migrations and the demo."""
