-- Every table of EXAI. Ids are UUIDv7 as text, times are milliseconds UTC, JSON is text.

CREATE TABLE conversations (
    id TEXT NOT NULL PRIMARY KEY,
    principal TEXT NOT NULL,
    title TEXT NOT NULL,
    tool TEXT NOT NULL,
    turn_count INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX conversations_by_principal ON conversations (principal, updated_at DESC);

-- A turn is written once: (call_id, role) is what makes the second writing change nothing.
CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    content TEXT NOT NULL,
    tool TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (conversation_id, seq),
    UNIQUE (call_id, role)
);

-- The journal. The conversation and the session have no foreign key: a call is journalled before either need stand.
CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    principal TEXT NOT NULL,
    session_id TEXT NOT NULL,
    conversation_id TEXT,
    tool TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    idempotency_key TEXT,
    state TEXT NOT NULL CHECK (state IN (
        'accepted', 'dispatched', 'streaming', 'completed', 'failed', 'cancelled', 'interrupted', 'unknown'
    )),
    replica TEXT NOT NULL,
    lease_until BIGINT,
    receipt TEXT,
    result TEXT,
    error TEXT,
    accepted_at BIGINT NOT NULL,
    dispatched_at BIGINT,
    streaming_at BIGINT,
    completed_at BIGINT,
    failed_at BIGINT,
    cancelled_at BIGINT,
    interrupted_at BIGINT,
    unknown_at BIGINT,
    delivered_at BIGINT,
    UNIQUE (principal, idempotency_key)
);
CREATE INDEX calls_open ON calls (state, replica) WHERE state IN ('accepted', 'dispatched', 'streaming');
CREATE INDEX calls_by_principal ON calls (principal, accepted_at DESC);
CREATE INDEX calls_by_age ON calls (accepted_at);

-- One upstream request each; never content.
CREATE TABLE attempts (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    host TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('dispatched', 'completed', 'failed', 'cancelled')),
    status INTEGER,
    prompt_tokens BIGINT,
    cached_tokens BIGINT,
    completion_tokens BIGINT,
    reasoning_tokens BIGINT,
    cost_usd DOUBLE PRECISION,
    dispatched_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (call_id, n)
);
CREATE INDEX attempts_by_time ON attempts (dispatched_at);

-- The content is on disk before its row is here.
CREATE TABLE files (
    sha256 TEXT NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    mime TEXT NOT NULL,
    name TEXT NOT NULL,
    ref_count INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX files_by_use ON files (last_used_at);

CREATE TABLE conversation_files (
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL REFERENCES files (sha256),
    added_at BIGINT NOT NULL,
    PRIMARY KEY (conversation_id, sha256)
);
CREATE INDEX conversation_files_by_file ON conversation_files (sha256);

-- No foreign key to `files`: what a provider still holds must be known until it is deleted there.
CREATE TABLE provider_files (
    provider TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    provider_file_id TEXT,
    upload_method TEXT NOT NULL,
    upload_status TEXT NOT NULL CHECK (upload_status IN ('completed', 'storage_failed', 'failed', 'deleted')),
    error TEXT,
    uploaded_at BIGINT,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (provider, sha256)
);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    principal TEXT NOT NULL,
    client TEXT NOT NULL,
    protocol TEXT NOT NULL,
    transport TEXT NOT NULL,
    connected_at BIGINT NOT NULL,
    closed_at BIGINT,
    close_code INTEGER,
    messages_in BIGINT NOT NULL,
    messages_out BIGINT NOT NULL
);
CREATE INDEX sessions_by_time ON sessions (connected_at);

-- `window_start` is the window's first millisecond; "window" alone is a reserved word.
CREATE TABLE metrics_1min (
    window_start BIGINT NOT NULL,
    metric TEXT NOT NULL,
    labels TEXT NOT NULL,
    count BIGINT NOT NULL,
    sum DOUBLE PRECISION NOT NULL,
    min DOUBLE PRECISION,
    max DOUBLE PRECISION,
    p50 DOUBLE PRECISION,
    p95 DOUBLE PRECISION,
    p99 DOUBLE PRECISION,
    PRIMARY KEY (window_start, metric, labels)
);

CREATE TABLE metrics_1hour (
    window_start BIGINT NOT NULL,
    metric TEXT NOT NULL,
    labels TEXT NOT NULL,
    count BIGINT NOT NULL,
    sum DOUBLE PRECISION NOT NULL,
    min DOUBLE PRECISION,
    max DOUBLE PRECISION,
    p50 DOUBLE PRECISION,
    p95 DOUBLE PRECISION,
    p99 DOUBLE PRECISION,
    PRIMARY KEY (window_start, metric, labels)
);

CREATE TABLE metrics_flush_log (
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    batch_size INTEGER NOT NULL,
    status TEXT NOT NULL,
    error TEXT
);
CREATE INDEX metrics_flush_log_by_time ON metrics_flush_log (at);

CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    direction TEXT NOT NULL,
    peer TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    ms BIGINT NOT NULL,
    outcome TEXT NOT NULL
);
CREATE INDEX events_by_time ON events (at);

CREATE TABLE auditor_observations (
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    severity TEXT NOT NULL,
    category TEXT NOT NULL,
    text TEXT NOT NULL,
    recommendation TEXT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    evidence TEXT NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at BIGINT
);
CREATE INDEX auditor_observations_by_time ON auditor_observations (at);

-- One row that a writer touches to learn whether the database takes writes again.
CREATE TABLE storage_probe (
    id INTEGER NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
INSERT INTO storage_probe (id, at) VALUES (1, 0);
