"""Adapters: each turns one provider's world into inputs and delivers what leaves."""
