-- +goose Up
-- Events that this service has to publish (kit/outbox). The id is the
-- CloudEvent's. A row is leased while it is being published, marked sent and
-- pruned later; `secret` rows lose their data once sent.
CREATE TABLE outbox (
    id           uuid PRIMARY KEY,
    topic        text NOT NULL,
    data         jsonb NOT NULL,
    traceparent  text NOT NULL DEFAULT '',
    secret       boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    next_try_at  timestamptz NOT NULL DEFAULT now(),
    tries        int NOT NULL DEFAULT 0,
    last_error   text,
    sent_at      timestamptz
);
CREATE INDEX outbox_unsent ON outbox (next_try_at) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

-- Events that this service has seen (kit/sub): tries so far, and when done.
CREATE TABLE inbox (
    event_id     text PRIMARY KEY,
    topic        text NOT NULL,
    tries        int NOT NULL DEFAULT 0,
    seen_at      timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz
);
CREATE INDEX inbox_seen_at ON inbox (seen_at);

-- Events that could not be handled; people look at them and drive them again.
CREATE TABLE dead_letters (
    event_id     text PRIMARY KEY,
    topic        text NOT NULL,
    event        bytea NOT NULL,
    error        text NOT NULL,
    tries        int NOT NULL,
    died_at      timestamptz NOT NULL DEFAULT now()
);

-- Answers kept for callers that repeat a request (kit/idempotency).
CREATE TABLE idempotency_keys (
    scope        text NOT NULL,
    key          text NOT NULL,
    body_hash    bytea NOT NULL,
    status       int NOT NULL,
    answer       jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
