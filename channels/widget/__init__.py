"""The chat on a web site: visitors' sockets, their history, and what leaves for them."""

from broker.ports import ChannelKind
from channels.widget import adapter, settings

KIND = ChannelKind(adapter.KIND, adapter.CAPABILITIES, settings.check)
