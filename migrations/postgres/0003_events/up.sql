-- An event may belong to a call, and may stand for others of its kind.
ALTER TABLE events ADD COLUMN call_id TEXT;
ALTER TABLE events ADD COLUMN sampled BIGINT NOT NULL DEFAULT 1;
