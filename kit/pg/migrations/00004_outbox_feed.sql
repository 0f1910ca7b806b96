-- +goose Up
-- Neighbours read what was published in the order in which it was saved (kit/outbox, Feed).
CREATE INDEX outbox_feed ON outbox (created_at, (id::text)) WHERE NOT secret;
