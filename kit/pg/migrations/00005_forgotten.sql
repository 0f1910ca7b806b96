-- +goose Up
-- Accounts and orders of which this service must not keep who they were (kit/forget). `again_at` is when what it has of
-- them is deleted once more, because an event can be on its way for days.
CREATE TABLE forgotten (
    id        uuid PRIMARY KEY,
    noted_at  timestamptz NOT NULL DEFAULT now(),
    again_at  timestamptz
);
CREATE INDEX forgotten_again ON forgotten (again_at) WHERE again_at IS NOT NULL;
CREATE INDEX forgotten_noted ON forgotten (noted_at);

-- Whom a dead letter is about, as its event says. Letters of before do not say; they end after 90 days.
ALTER TABLE dead_letters ADD COLUMN account_id uuid, ADD COLUMN order_id uuid;
CREATE INDEX dead_letters_account ON dead_letters (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX dead_letters_order ON dead_letters (order_id) WHERE order_id IS NOT NULL;

CREATE INDEX feed_failures_order ON feed_failures ((item ->> 'order_id'));
CREATE INDEX feed_failures_account ON feed_failures ((item -> 'data' ->> 'account_id'));
CREATE INDEX idempotency_keys_order ON idempotency_keys ((answer ->> 'order_id')) WHERE answer ? 'order_id';
