-- +goose Up
-- What the provider took is written down apart from what was asked for. Orders tells what was cancelled (its feed
-- "outcomes"), so captured charges are no longer asked about one by one.
ALTER TABLE charges
    ADD COLUMN captured_amount   bigint NOT NULL DEFAULT 0 CHECK (captured_amount >= 0), -- where captured_at is set: what was taken
    ADD COLUMN captured_currency text NOT NULL DEFAULT '',                               -- and refunds are in this currency
    ADD COLUMN refund_keys       int NOT NULL DEFAULT 0,                                 -- how many keys the automatic refund has used
    DROP COLUMN next_check_at;
UPDATE charges SET captured_amount = amount, captured_currency = currency WHERE captured_at IS NOT NULL;

-- Tombstones, which are pruned.
CREATE INDEX charges_tombstones ON charges (created_at) WHERE placed_at IS NULL;

ALTER TABLE refunds
    ADD COLUMN origin   text NOT NULL DEFAULT 'staff' CHECK (origin IN ('automatic', 'staff', 'provider')),
    ADD COLUMN key      text,                     -- what the provider knows it by; of origin provider: the provider's own id
    ADD COLUMN noted_at timestamptz;              -- when the transaction that wrote it done began; NULL before
UPDATE refunds SET key = id::text, origin = CASE WHEN requested_by IS NULL THEN 'automatic' ELSE 'staff' END,
    noted_at = CASE WHEN state = 'done' THEN COALESCE(ended_at, created_at) END;
ALTER TABLE refunds ALTER COLUMN key SET NOT NULL, ALTER COLUMN origin DROP DEFAULT;
CREATE UNIQUE INDEX refunds_key ON refunds (key);
-- One automatic refund of an order at a time.
CREATE UNIQUE INDEX refunds_automatic ON refunds (order_id) WHERE origin = 'automatic' AND state = 'requested';
CREATE INDEX refunds_made ON refunds (noted_at, (id::text)) WHERE noted_at IS NOT NULL;
CREATE INDEX refunds_failed ON refunds (order_id) WHERE state = 'failed';

CREATE INDEX webhooks_received ON webhooks (received_at);

-- The sandbox may take another amount than it was asked for, as a provider with a fault would.
ALTER TABLE sandbox_charges
    ADD COLUMN taken          bigint NOT NULL DEFAULT 0,
    ADD COLUMN taken_currency text NOT NULL DEFAULT '';
UPDATE sandbox_charges SET taken = amount, taken_currency = currency;
CREATE INDEX sandbox_charges_created ON sandbox_charges (created_at);
CREATE INDEX sandbox_webhooks_created ON sandbox_webhooks (created_at);
