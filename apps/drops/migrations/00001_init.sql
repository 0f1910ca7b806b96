-- +goose Up
CREATE TABLE entries (
    id         uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    note       text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX entries_account ON entries (account_id, created_at DESC, id);
