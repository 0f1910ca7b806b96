-- +goose Up
-- Orders of a shop before this one: history, apart from orders, so that nothing that sells, counts or sweeps has to know of them.
CREATE TABLE imported_orders (
    id           uuid PRIMARY KEY,
    number       text COLLATE "C" NOT NULL CONSTRAINT imported_orders_number UNIQUE, -- as the other shop had it
    email        text COLLATE "C" NOT NULL, -- empty: none, or forgotten
    account_id   uuid,                      -- whose e-mail address it was when that was proved; null: nobody's yet
    owner_due    boolean NOT NULL,          -- auth has still to be asked whose address it is
    placed_at    timestamptz NOT NULL,
    total        bigint NOT NULL,
    currency     text NOT NULL,
    details      jsonb NOT NULL,            -- lines, sums, addresses
    imported_at  timestamptz NOT NULL,
    forgotten_at timestamptz                -- who placed it has deleted the account
);
CREATE INDEX imported_orders_placed ON imported_orders (placed_at, id);
CREATE INDEX imported_orders_account ON imported_orders (account_id, placed_at, id) WHERE account_id IS NOT NULL;
CREATE INDEX imported_orders_email ON imported_orders (email, placed_at, id) WHERE email <> '';
CREATE INDEX imported_orders_due ON imported_orders (id) WHERE owner_due;
