-- +goose Up
-- Whether the account is suspended, and when that became so: the later news counts.
ALTER TABLE profiles
    ADD COLUMN suspended    boolean NOT NULL DEFAULT false,
    ADD COLUMN standing_at  timestamptz;
