-- What recovery, delivery and retention ask of the journal.

-- An attempt may end `unknown`. SQLite cannot change a check, so on both databases the table is made anew.
CREATE TABLE attempts_new (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    host TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('dispatched', 'completed', 'failed', 'cancelled', 'unknown')),
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
INSERT INTO attempts_new (
    call_id, n, provider, model, host, state, status, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
    cost_usd, dispatched_at, ended_at
)
SELECT
    call_id, n, provider, model, host, state, status, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
    cost_usd, dispatched_at, ended_at
FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_new RENAME TO attempts;
CREATE INDEX attempts_by_time ON attempts (dispatched_at);

-- Answers that wait for whoever asks the same again.
CREATE INDEX calls_undelivered ON calls (principal, request_hash) WHERE delivered_at IS NULL AND result IS NOT NULL;
-- Answers that are still kept.
CREATE INDEX calls_with_result ON calls (accepted_at) WHERE result IS NOT NULL;
CREATE INDEX conversations_by_age ON conversations (updated_at);
