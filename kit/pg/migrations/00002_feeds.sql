-- +goose Up
-- How far this service has read what its neighbours tell when they are asked (kit/feed), and who is reading.
CREATE TABLE feed_positions (
    name          text PRIMARY KEY,
    since         timestamptz NOT NULL,        -- where it began
    cursor        text NOT NULL DEFAULT '',    -- opaque: where the last page ended
    holder        uuid,                        -- of the lease
    leased_until  timestamptz
);

-- What was read and could not be applied: it is tried again, and the others go on.
CREATE TABLE feed_failures (
    name         text NOT NULL,
    item         jsonb NOT NULL,
    item_hash    bytea NOT NULL,
    error        text NOT NULL,
    tries        int NOT NULL DEFAULT 1,
    first_at     timestamptz NOT NULL DEFAULT now(),
    next_try_at  timestamptz NOT NULL,
    PRIMARY KEY (name, item_hash)
);
CREATE INDEX feed_failures_due ON feed_failures (name, next_try_at);
