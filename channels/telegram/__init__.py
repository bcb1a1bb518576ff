"""Telegram bots: what customers write to a bot, or to a business account that a bot serves.

`parsing` reads updates and `splitting` cuts texts, both pure; `adapter` asks the provider. The library (aiogram) is imported when a
channel of the kind is first used: it takes more memory than the rest of a process together.
"""
