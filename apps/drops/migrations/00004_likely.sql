-- +goose Up
-- Up to which position units will do: as it was when the drop was last moved on.
ALTER TABLE drop_lots ADD COLUMN likely_below bigint NOT NULL DEFAULT 0;
