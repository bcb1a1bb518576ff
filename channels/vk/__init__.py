"""VK communities: what customers write to a community, told by the long poll or brought by the Callback API.

`parsing` reads events and is pure; `adapter` asks the provider, by way of `api`. The libraries (vk_api, requests, aiohttp) are imported
when a channel of the kind is first used.
"""
