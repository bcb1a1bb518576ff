"""The telephone: Asterisk asks over FastAGI what to do with a call."""
