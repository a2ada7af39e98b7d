-- Whose flush it was: which replica's, and which life of its process. The newest line of a replica tells which life came last.
ALTER TABLE metrics_flush_log ADD COLUMN replica TEXT;
ALTER TABLE metrics_flush_log ADD COLUMN life TEXT;
CREATE INDEX metrics_flush_log_by_replica ON metrics_flush_log (replica, at);
