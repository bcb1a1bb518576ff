-- Makes the user and the database of Omniline, once; the user owns the database and nothing else.
--
--   OMNILINE_DATABASE_PASSWORD_FILE=… psql -v ON_ERROR_STOP=1 -d postgres -f deploy/postgres.sql      (docs/running.md)
--
-- compose.yaml has it run at the first start of its own server.

\set password `cat "${OMNILINE_DATABASE_PASSWORD_FILE:-/run/secrets/database}"`

SELECT :'password' = '' AS password_is_missing \gset
\if :password_is_missing
  DO 'BEGIN RAISE EXCEPTION ''the file with the password is empty, or whoever runs psql may not read it''; END';
\endif

CREATE ROLE omniline LOGIN PASSWORD :'password';
CREATE DATABASE omniline OWNER omniline TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8';
REVOKE ALL ON DATABASE omniline FROM PUBLIC;
