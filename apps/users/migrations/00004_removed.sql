-- +goose Up
-- Accounts that are gone for good: an event of before that comes late makes no profile of them again.
CREATE TABLE removed_accounts (
    account_id   uuid PRIMARY KEY,
    removed_at   timestamptz NOT NULL
);
