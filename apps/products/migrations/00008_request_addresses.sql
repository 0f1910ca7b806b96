-- +goose Up
-- When the account behind a request got this address; NULL: it had it when it asked.
ALTER TABLE stock_requests ADD COLUMN email_at timestamptz;
