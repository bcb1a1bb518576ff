"""The one chain of migrations, forward only, for SQLite and PostgreSQL alike.

`CHAIN` lists the revisions in order; its last is what this version needs. A test holds it to the files and to the tables.
"""

CHAIN = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
HEAD = CHAIN[-1]
OLDEST = HEAD
"""The schema that the oldest code needs which goes on with HEAD's: that of the release before, whose processes run on while the new ones
are started. A migration takes away or renames only what that release has not used; so it takes two releases to remove a column."""
