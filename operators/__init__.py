"""The console's server: websocket gateway, presence, REST for people and settings."""
