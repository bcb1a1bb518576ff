"""The numbers that `/metrics` shows, each with its meaning. Whoever does the deed counts it; nobody else writes here.

Below every part that counts, so that all may import it. One registry of ours: what libraries register elsewhere stays out.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

accepted_inputs_total = Counter(
    "omniline_accepted_inputs",
    "Inputs stored and acknowledged, by kind of origin (a channel's kind, console, timer); repeats are not counted.",
    ["origin"],
    registry=REGISTRY,
)
repeated_inputs_total = Counter(
    "omniline_repeated_inputs", "Inputs that had been stored before and were acknowledged again.", ["origin"], registry=REGISTRY
)
refused_inputs_total = Counter(
    "omniline_refused_inputs",
    "Inputs that were not stored and whose sender was told so, by reason: flood, too_long, full, …",
    ["origin", "reason"],
    registry=REGISTRY,
)
receiver_failures_total = Counter(
    "omniline_receiver_failures",
    "Times a channel that must be asked could not be: its provider did not answer, or refused us.",
    ["channel", "kind"],
    registry=REGISTRY,
)
ignored_inputs_total = Counter(
    "omniline_ignored_inputs", "Payloads of providers that concern nobody here, and were let go.", ["origin"], registry=REGISTRY
)
fetched_total = Counter(
    "omniline_fetched", "What was asked of providers beside messages: files and profiles.", ["kind", "what"], registry=REGISTRY
)
channel_refused = Gauge(
    "omniline_channel_refused",
    "1 while the channel's provider lets us in no more: an administrator must act.",
    ["channel", "kind"],
    registry=REGISTRY,
)
dead_letters_total = Counter(
    "omniline_dead_letters",
    "Inputs kept raw because nobody could read them (unreadable) or decide them (undecidable).",
    ["why"],
    registry=REGISTRY,
)
decided_total = Counter("omniline_decided", "Inputs that the routing engine has decided.", registry=REGISTRY)
undecided = Gauge(
    "omniline_undecided_conversations", "Conversations with inputs nobody has decided yet, at the last sweep.", registry=REGISTRY
)
sessions_opened_total = Counter("omniline_sessions_opened", "Sessions opened, by whoever wrote first.", registry=REGISTRY)
sessions_closed_total = Counter(
    "omniline_sessions_closed", "Sessions closed; one that is reopened counts again.", registry=REGISTRY
)
offers_total = Counter(
    "omniline_offers",
    "Offers to one operator each, by what became of them: made, and then taken, declined, ran_out, withdrawn, gone.",
    ["outcome"],
    registry=REGISTRY,
)
wait_seconds = Histogram(
    "omniline_wait_seconds",
    "How long sessions waited in the queue until an operator had them; each stay in the queue counts for itself.",
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400),
    registry=REGISTRY,
)
sent_total = Counter(
    "omniline_sent",
    "Attempts to send, by channel and outcome: sent, failed, unconfirmed, backed_off, paced (the provider's rate), lease_lost; "
    "of a channel that is switched off, or not known here yet, by its id and the kind unknown.",
    ["channel", "kind", "outcome"],
    registry=REGISTRY,
)
recovered_sends_total = Counter(
    "omniline_recovered_sends",
    "Sends that a process which died had under way, by what became of them: queued (sent again), unconfirmed (an operator decides).",
    ["outcome"],
    registry=REGISTRY,
)
refused_connections_total = Counter(
    "omniline_refused_connections",
    "Connections closed for what they did, by reason: all (too many), network (too many of one), slow, flood, often.",
    ["reason"],
    registry=REGISTRY,
)
calls_total = Counter(
    "omniline_calls",
    "Connections by which the telephone exchange asked what to do with a call: new, again (it has asked about this call before: a process "
    "has died or was restarted), unknown (no line of ours).",
    ["how"],
    registry=REGISTRY,
)
refused_calls_total = Counter(
    "omniline_refused_calls",
    "Connections to the telephone's port closed without a word, by reason: network (not the PBX's), all (too many), slow, no_agi, secret.",
    ["reason"],
    registry=REGISTRY,
)
sockets = Gauge("omniline_sockets", "Open sockets, by kind: visitor, operator.", ["kind"], registry=REGISTRY)
sockets_closed_total = Counter(
    "omniline_sockets_closed", "Sockets that we closed, by kind and close code.", ["kind", "code"], registry=REGISTRY
)
store_commits_total = Counter(
    "omniline_store_commits",
    "Commits of the store: each waits for one fsync, which on PostgreSQL several may share.",
    registry=REGISTRY,
)
store_transactions_total = Counter("omniline_store_transactions", "Transactions that those commits held.", registry=REGISTRY)
store_batch_size = Histogram(
    "omniline_store_batch_size", "Transactions in one commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=REGISTRY
)
store_retries_total = Counter(
    "omniline_store_retries", "Transactions run again because they stood in each other's way (deadlocks).", registry=REGISTRY
)
store_lost_commits_total = Counter(
    "omniline_store_lost_commits",
    "Commits whose answer was lost with the connection; each was then asked after, and run again or not.",
    registry=REGISTRY,
)
store_lost = Gauge("omniline_store_lost", "1 while the database does not answer: nothing is accepted then.", registry=REGISTRY)
store_full = Gauge("omniline_store_full", "1 while the disk is full and new inputs are refused.", registry=REGISTRY)
transport_lost = Gauge(
    "omniline_transport_lost",
    "1 while Redis is lost: bells ring in this process alone, and sweeps find what others rang for.",
    registry=REGISTRY,
)
transport_losses_total = Counter("omniline_transport_losses", "How often Redis was lost.", registry=REGISTRY)
transport_emptied_total = Counter(
    "omniline_transport_emptied", "How often Redis was found emptied: what lay in it is looked up instead.", registry=REGISTRY
)
transport_passed_total = Counter(
    "omniline_transport_passed", "Rings and words passed on to other processes, by what: ring, word.", ["what"], registry=REGISTRY
)
transport_dropped_total = Counter(
    "omniline_transport_dropped",
    "Rings and words not passed on, because Redis was lost or slow, by what: ring, word; sweeps make up for the rings.",
    ["what"],
    registry=REGISTRY,
)
transport_claimed_total = Counter(
    "omniline_transport_claimed",
    "Entries of work bells heard here because the process that had read them did not acknowledge them: it died or stood still.",
    registry=REGISTRY,
)
logins_total = Counter(
    "omniline_logins", "Logins asked for, by outcome: opened, refused, delayed.", ["outcome"], registry=REGISTRY
)
leases_held = Gauge(
    "omniline_leases_held",
    "1 for what runs once in the house and runs in this process: timers, crm, …",
    ["name"],
    registry=REGISTRY,
)
processes_alive = Gauge(
    "omniline_processes",
    "Processes of this house that have said lately that they are there, by role; one of several roles is in each of them.",
    ["role"],
    registry=REGISTRY,
)
# Of the whole house, read from the database when somebody asks (broker.web.metrics): every process says the same.
house_sessions = Gauge(
    "omniline_house_sessions", "Open sessions of the house, by line and status.", ["line", "status"], registry=REGISTRY
)
house_wait = Gauge(
    "omniline_house_longest_wait_seconds",
    "How long the session has waited that has waited longest, by line.",
    ["line"],
    registry=REGISTRY,
)
house_undecided = Gauge(
    "omniline_house_oldest_undecided_seconds",
    "Age of the oldest input that nobody has decided, among those of up to 1,000 conversations; 0: there is none.",
    registry=REGISTRY,
)
house_unsent = Gauge(
    "omniline_house_oldest_unsent_seconds",
    "How long the message has waited that has waited longest and is not sent, by channel; a channel with none has no value.",
    ["channel"],
    registry=REGISTRY,
)
house_outbox = Gauge(
    "omniline_house_unsent", "Messages that are queued or being sent, by channel.", ["channel"], registry=REGISTRY
)
reader_rows = Gauge(
    "omniline_reader_behind_rows",
    "Rows of the journal that a reader has still to read, at most: crm (of the house), consoles (of this process).",
    ["reader"],
    registry=REGISTRY,
)
reader_seconds = Gauge(
    "omniline_reader_behind_seconds",
    "Age of the oldest row that a reader has still to read; 0: none.",
    ["reader"],
    registry=REGISTRY,
)
oldest_writer = Gauge(
    "omniline_oldest_transaction_seconds",
    "Age of the oldest transaction in PostgreSQL that has written: while it goes on, each reading of the journal looks for more behind "
    "its place. 0 on SQLite.",
    registry=REGISTRY,
)
unexpected_errors_total = Counter(
    "omniline_unexpected_errors",
    "Errors that no one foresaw, by the loop that caught them; each has a log line.",
    ["where"],
    registry=REGISTRY,
)
for _where in "consoles control crm distributor fetcher receivers sender store telephone timers transport web worker".split():
    # There from the start: of a row that begins with its first error nobody sees that it has grown.
    unexpected_errors_total.labels(_where)
for _why in "unreadable undecidable".split():
    dead_letters_total.labels(_why)
for _outcome in "queued unconfirmed".split():
    recovered_sends_total.labels(_outcome)
