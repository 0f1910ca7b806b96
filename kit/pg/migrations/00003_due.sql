-- +goose Up
-- The relay claims by topic, so that what hangs in one holds up no other (kit/outbox).
CREATE INDEX outbox_due ON outbox (topic, next_try_at, id) WHERE sent_at IS NULL;
DROP INDEX outbox_unsent;

-- Dead letters have an end (kit/sub, Prune).
CREATE INDEX dead_letters_died_at ON dead_letters (died_at);
