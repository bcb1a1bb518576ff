"""The ground floor: words, sockets, durable queue, store, transport, web plumbing, access."""
