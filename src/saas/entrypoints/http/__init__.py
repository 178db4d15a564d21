"""HTTP and WebSocket, on Litestar: controllers that turn requests into calls of use cases, and results into replies."""
