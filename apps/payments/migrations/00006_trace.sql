-- +goose Up
-- The trace of what an order was placed by, and of what asked for a refund: what is done later goes on with it. A W3C
-- traceparent (kit/trace); '' in rows of before.
ALTER TABLE charges ADD COLUMN traceparent text NOT NULL DEFAULT '';
ALTER TABLE refunds ADD COLUMN traceparent text NOT NULL DEFAULT '';
