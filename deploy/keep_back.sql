-- Cancels all that waits to be sent, or was being sent: nothing of it will leave. After a restore, before what sends is started.
--
--   psql -v ON_ERROR_STOP=1 -d omniline < deploy/keep_back.sql      (docs/running.md)
--
-- Operators see these messages as cancelled, and write again what is still worth it.

WITH gone AS (
    UPDATE outbox SET state = 'cancelled', lease_us = NULL WHERE state IN ('queued', 'sending') RETURNING conversation_id, seq
)
UPDATE messages SET fate = 'cancelled'
FROM gone
WHERE messages.conversation_id = gone.conversation_id AND messages.seq = gone.seq AND messages.fate NOT IN ('delivered', 'read');
