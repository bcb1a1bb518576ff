"""The one chain of migrations, forward only, for SQLite and PostgreSQL alike.

`CHAIN` lists the revisions in order; its last is what this version needs. A test holds it to the files and to the tables.
"""

CHAIN = ("0001", "0002", "0003", "0004")
HEAD = CHAIN[-1]
