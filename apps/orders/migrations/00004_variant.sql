-- +goose Up
-- Which of the product's variants a line is, as it was called then. Lines from before do not say.
ALTER TABLE order_lines ADD COLUMN variant text NOT NULL DEFAULT '';
