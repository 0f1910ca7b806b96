-- +goose Up
-- How many units in all inventory is asked for of a lot, as staff want more, until it has answered.
ALTER TABLE drop_lots ADD COLUMN adding bigint;
