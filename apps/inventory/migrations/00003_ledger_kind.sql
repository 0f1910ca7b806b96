-- +goose Up
-- The ledger of a SKU is also read by kind. Sales are most of it, are found without, and cost nothing more to enter.
CREATE INDEX ledger_kind ON ledger (sku, kind, number) WHERE kind <> 'sale';
