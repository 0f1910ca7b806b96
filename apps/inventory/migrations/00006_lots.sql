-- +goose Up
-- What a drop has, or had, of a SKU. A SKU is in one open lot at most, whose numbers stand in its stock row.
CREATE TABLE lots (
    drop       uuid NOT NULL,
    sku        text NOT NULL REFERENCES stock (sku),
    units      bigint NOT NULL CHECK (units > 0),  -- that were set aside, in all
    most       bigint NOT NULL CHECK (most > 0),   -- that one account may have
    opened_at  timestamptz NOT NULL,
    closed_at  timestamptz,
    PRIMARY KEY (drop, sku)
);
CREATE UNIQUE INDEX lots_open ON lots (sku) WHERE closed_at IS NULL;

-- The open lot that a SKU is in; null: none. lot_free is set aside and nobody's; lot_held are those of its cart_held and
-- order_held, lot_sold those of its sold, that were claimed of the lot. available = on_hand - cart_held - order_held - lot_free.
ALTER TABLE stock
    ADD COLUMN lot        uuid,
    ADD COLUMN lot_free   bigint NOT NULL DEFAULT 0,
    ADD COLUMN lot_held   bigint NOT NULL DEFAULT 0,
    ADD COLUMN lot_sold   bigint NOT NULL DEFAULT 0,
    ADD COLUMN lot_limit  bigint CHECK (lot_limit > 0),
    DROP CONSTRAINT stock_check,
    ADD CONSTRAINT stock_check CHECK (cart_held + order_held + lot_free <= on_hand),
    -- Short: PostgreSQL reads it anew for each statement that changes a SKU.
    ADD CONSTRAINT stock_lot CHECK (LEAST(lot_free, lot_held, lot_sold) >= 0 AND lot_held <= cart_held + order_held AND lot_sold <= sold);

-- The drop that a cart's units were claimed of, and with them an order's: all of them, or null.
ALTER TABLE cart_holds ADD COLUMN lot uuid;
ALTER TABLE order_hold_lines ADD COLUMN lot uuid;
CREATE INDEX cart_holds_claims ON cart_holds (lot, sku, expires_at) INCLUDE (quantity) WHERE lot IS NOT NULL;
CREATE INDEX order_hold_lines_claims ON order_hold_lines (lot, sku) WHERE lot IS NOT NULL;
