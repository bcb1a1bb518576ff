"""The truth in SQL: tables, statements, migrations, and the embedded store on SQLite."""
