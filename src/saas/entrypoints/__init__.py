"""The outermost layer: settings, the command line, HTTP, WebSocket and the composition root."""
