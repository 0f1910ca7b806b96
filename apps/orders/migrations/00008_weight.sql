-- +goose Up
-- What one unit of a line weighed when it was bought; 0 where products did not know. Instances of before write none.
ALTER TABLE order_lines ADD COLUMN weight_grams integer NOT NULL DEFAULT 0;
