-- +goose Up
-- A price of zero is that of a product which is not for sale yet; only a product without one is published.
ALTER TABLE variants DROP CONSTRAINT variants_price_check, ADD CONSTRAINT variants_price_check CHECK (price >= 0) NOT VALID;
-- What one weighs; 0 is not known. Instances of before write none.
ALTER TABLE variants ADD COLUMN weight_grams integer NOT NULL DEFAULT 0;
