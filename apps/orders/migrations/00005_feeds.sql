-- +goose Up
-- Neighbours read what became of orders by cursor (kit/feed): in the order in which it was written down, which `at`,
-- a service's clock, does not tell.
ALTER TABLE order_history ADD COLUMN noted_at timestamptz;
UPDATE order_history SET noted_at = at;
ALTER TABLE order_history ALTER COLUMN noted_at SET DEFAULT transaction_timestamp(), ALTER COLUMN noted_at SET NOT NULL;
DROP INDEX order_history_at;
CREATE INDEX order_history_feed ON order_history (noted_at, (order_id::text || '/' || version::text)) WHERE status <> 'pending';

-- What an account's next order is placed instead of.
CREATE INDEX orders_declined ON orders (account_id, updated_at) WHERE cancel_reason = 'payment-declined';

-- Tombstones are pruned; the fate of an order stays as long as the order does.
CREATE INDEX order_ids_void ON order_ids (decided_at) WHERE fate = 'void';

-- When was an order's order.placed first sent, and is one of them still to be sent? With the time in the index neither
-- question leads the planner through all that was sent (min() is read from any index on sent_at that it finds).
DROP INDEX outbox_order_placed;
CREATE INDEX outbox_order_placed ON outbox ((data ->> 'order_id'), sent_at) WHERE topic = 'order.placed.v1';

-- What is to be settled next, without sorting all that is pending.
CREATE INDEX orders_settle ON orders (settle_at NULLS FIRST, id) WHERE status = 'pending' OR payment_status = 'pending';
