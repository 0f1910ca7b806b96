-- +goose Up
-- Products, only to tell a late event from the latest one.
CREATE TABLE products (
    id       uuid PRIMARY KEY,
    version  bigint NOT NULL
);

-- One row a SKU: the row that is locked before anything about the SKU changes. available = on_hand - cart_held -
-- order_held; the last check is what forbids, whatever the code does, that more is promised than is there.
CREATE TABLE stock (
    sku         text PRIMARY KEY,
    product_id  uuid REFERENCES products (id),
    listed      boolean NOT NULL DEFAULT false,  -- shoppers can see its product
    on_hand     bigint NOT NULL DEFAULT 0,       -- units that are here, held or not
    cart_held   bigint NOT NULL DEFAULT 0 CHECK (cart_held >= 0),   -- sum of cart_holds, lapsed ones included until they are swept
    order_held  bigint NOT NULL DEFAULT 0 CHECK (order_held >= 0),  -- sum of the lines of orders in state held
    sold        bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),        -- sum of the lines of orders in state sold
    number      bigint NOT NULL DEFAULT 0,       -- of the last ledger row
    in_stock    boolean NOT NULL DEFAULT false,  -- as stock.crossed last told
    crossings   bigint NOT NULL DEFAULT 0,       -- how often it was told
    CHECK (cart_held + order_held <= on_hand)
) WITH (fillfactor = 50); -- room for updates in place: a hot row changes all the time
CREATE INDEX stock_by_product ON stock (product_id);

-- What came in and went out, with on_hand before and after. The deltas of a SKU add up to on_hand; without sales and
-- returns to on_hand + sold.
CREATE TABLE ledger (
    sku     text NOT NULL REFERENCES stock (sku),
    number  bigint NOT NULL,  -- 1, 2, 3 … for each SKU
    kind    text NOT NULL CHECK (kind IN ('initial', 'movement', 'import', 'sale', 'return')),
    delta   bigint NOT NULL CHECK (delta <> 0),
    before  bigint NOT NULL,
    after   bigint NOT NULL CHECK (after >= 0),
    reason  text NOT NULL,
    ref     text NOT NULL,    -- the order, product, import row, or administrator behind it
    at      timestamptz NOT NULL,
    PRIMARY KEY (sku, number),
    CHECK (after = before + delta)
);
-- An order sells a SKU once, and gives it back once.
CREATE UNIQUE INDEX ledger_of_orders ON ledger (ref, sku, kind) WHERE kind IN ('sale', 'return');

CREATE TABLE cart_holds (
    shopper     text NOT NULL,  -- account:<id> or guest:<hash>
    sku         text NOT NULL REFERENCES stock (sku),
    quantity    bigint NOT NULL CHECK (quantity > 0),
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (shopper, sku)
);
CREATE INDEX cart_holds_lapse ON cart_holds (sku, expires_at) INCLUDE (quantity);
CREATE INDEX cart_holds_sweep ON cart_holds (expires_at);

-- Holds of orders have no clock; released is final. A released row without shopper and lines is a tombstone: the
-- release came before the hold.
CREATE TABLE order_holds (
    order_id        uuid PRIMARY KEY,
    shopper         text NOT NULL DEFAULT '',
    state           text NOT NULL CHECK (state IN ('held', 'sold', 'released')),
    release_reason  text CHECK (release_reason IN ('cancelled', 'refused', 'void')),
    held_at         timestamptz NOT NULL,
    changed_at      timestamptz NOT NULL,
    asked_at        timestamptz,  -- when orders was last asked what became of it
    CHECK ((state = 'released') = (release_reason IS NOT NULL))
);
CREATE INDEX order_holds_waiting ON order_holds (held_at) WHERE state = 'held';

CREATE TABLE order_hold_lines (
    order_id  uuid NOT NULL REFERENCES order_holds (order_id),
    sku       text NOT NULL REFERENCES stock (sku),
    quantity  bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, sku)
);
CREATE INDEX order_hold_lines_by_sku ON order_hold_lines (sku, order_id);
