-- +goose Up
-- The books of the sandbox provider: a party of its own that only shares the
-- database server (docs/decisions/sandbox-provider.md). Nothing in payments
-- reads or writes these tables but sandbox_store.go, and never in a
-- transaction of payments.
CREATE TABLE sandbox_charges (
    key         text PRIMARY KEY,            -- the merchant's idempotency key
    ref         text NOT NULL UNIQUE,
    amount      bigint NOT NULL,
    currency    text NOT NULL,
    method      text NOT NULL,
    status      text NOT NULL CHECK (status IN ('none', 'succeeded', 'declined')),
    reason      text NOT NULL DEFAULT '',
    calls       int NOT NULL DEFAULT 1,      -- how often it was asked for
    settles_at  timestamptz NOT NULL,        -- until then it is processing
    created_at  timestamptz NOT NULL
);

CREATE TABLE sandbox_refunds (
    key         text PRIMARY KEY,
    ref         text NOT NULL UNIQUE,
    charge_key  text NOT NULL REFERENCES sandbox_charges,
    amount      bigint NOT NULL CHECK (amount > 0),
    created_at  timestamptz NOT NULL
);
CREATE INDEX sandbox_refunds_charge ON sandbox_refunds (charge_key);

CREATE TABLE sandbox_webhooks (
    id           text PRIMARY KEY,
    payload      bytea NOT NULL,
    next_try_at  timestamptz NOT NULL,
    tries        int NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    created_at   timestamptz NOT NULL
);
CREATE INDEX sandbox_webhooks_due ON sandbox_webhooks (next_try_at) WHERE sent_at IS NULL;
