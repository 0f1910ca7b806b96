-- +goose Up
-- What people call a SKU: its product's name and which variant it is, as products last told, and both with the SKU as the
-- back office looks for them (kit/text, folded). Apart from stock, whose rows change all the time.
CREATE TABLE labels (
    sku      text PRIMARY KEY,
    name     text NOT NULL,
    variant  text NOT NULL,
    found    text NOT NULL
);

-- With so many available or fewer a SKU runs out; null: what the shop says of all.
ALTER TABLE stock ADD COLUMN low_at bigint CHECK (low_at >= 0);
