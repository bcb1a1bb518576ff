"""The web's plumbing: one ASGI callable for pages, REST and sockets; problems, addresses, static files, health, metrics."""
