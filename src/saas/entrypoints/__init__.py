"""How the service is reached: settings, the command line, HTTP and WebSocket, and the root that wires it all."""
