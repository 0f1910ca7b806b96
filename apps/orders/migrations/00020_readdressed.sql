-- +goose Up
-- When the address was last changed after the order was placed.
ALTER TABLE orders ADD COLUMN readdressed_at timestamptz;
