-- +goose Up
-- For the carrier, in international form (E.164); empty when it was not given.
ALTER TABLE addresses ADD COLUMN phone text NOT NULL DEFAULT '';
