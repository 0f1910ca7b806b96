-- +goose Up
-- How often the hold of a claim was given more time.
ALTER TABLE claims ADD COLUMN extended integer NOT NULL DEFAULT 0;
