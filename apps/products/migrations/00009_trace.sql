-- +goose Up
-- The trace of what brought a SKU back: telling those who wait goes on with that. A W3C traceparent (kit/trace); '' in rows of
-- before.
ALTER TABLE stock_returns ADD COLUMN traceparent text NOT NULL DEFAULT '';
