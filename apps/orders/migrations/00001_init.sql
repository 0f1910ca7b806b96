-- +goose Up
-- The fate of every order id that was ever used, decided once, by whoever comes first: an order was placed
-- under it, or it is void for ever (inventory gave its hold up, or the attempt did).
CREATE TABLE order_ids (
    id          uuid PRIMARY KEY,
    fate        text NOT NULL CHECK (fate IN ('placed', 'void')),
    decided_at  timestamptz NOT NULL
);

CREATE TABLE orders (
    id               uuid PRIMARY KEY REFERENCES order_ids (id),
    number           text NOT NULL CONSTRAINT orders_number UNIQUE,
    account_id       uuid NOT NULL,
    email            text NOT NULL,
    first_name       text NOT NULL,
    checkout_id      uuid NOT NULL,
    status           text NOT NULL CHECK (status IN ('pending', 'confirmed', 'shipped', 'delivered', 'cancelled')),
    version          int NOT NULL,
    cancel_reason    text CHECK (cancel_reason IN ('payment-declined', 'out-of-stock', 'timed-out', 'by-customer', 'by-shop')),
    cancel_note      text NOT NULL DEFAULT '',
    currency         text NOT NULL,
    subtotal         bigint NOT NULL CHECK (subtotal >= 0), -- amounts in minor units
    discount         bigint NOT NULL CHECK (discount >= 0),
    tax              bigint NOT NULL CHECK (tax >= 0),
    shipping         bigint NOT NULL CHECK (shipping >= 0),
    total            bigint NOT NULL CHECK (total >= 0),
    address          jsonb NOT NULL,
    payment_method   text NOT NULL,
    payment_status   text NOT NULL CHECK (payment_status IN ('pending', 'failed', 'captured', 'refund_pending', 'partially_refunded', 'refunded')),
    refunded         bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    carrier          text,
    tracking_number  text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    -- Housekeeping of what is pending: when order.placed was first sent (the deadline counts from then), when it
    -- was last written, how often, and when payments may next be asked to void the charge.
    placed_sent_at   timestamptz,
    placed_put_at    timestamptz NOT NULL,
    placed_count     int NOT NULL DEFAULT 1,
    settle_at        timestamptz,
    CHECK ((status = 'cancelled') = (cancel_reason IS NOT NULL)),
    CHECK ((status IN ('shipped', 'delivered')) = (carrier IS NOT NULL)),
    CHECK ((carrier IS NULL) = (tracking_number IS NULL))
);
-- One checkout, one order.
CREATE UNIQUE INDEX orders_checkout ON orders (checkout_id) WHERE status <> 'cancelled';
CREATE INDEX orders_of_account ON orders (account_id, created_at DESC, id DESC);
CREATE INDEX orders_by_time ON orders (created_at DESC, id DESC);
CREATE INDEX orders_by_status ON orders (status, created_at DESC, id DESC);
CREATE INDEX orders_unsettled ON orders (placed_put_at) WHERE status = 'pending' OR payment_status = 'pending';

CREATE TABLE order_lines (
    order_id    uuid NOT NULL REFERENCES orders (id),
    position    int NOT NULL,
    sku         text NOT NULL,
    slug        text NOT NULL,
    name        text NOT NULL,
    image_url   text NOT NULL,
    quantity    int NOT NULL CHECK (quantity > 0),
    unit_price  bigint NOT NULL,
    discount    bigint NOT NULL,
    tax         bigint NOT NULL,
    line_total  bigint NOT NULL,
    PRIMARY KEY (order_id, position)
);

CREATE TABLE order_history (
    order_id  uuid NOT NULL REFERENCES orders (id),
    version   int NOT NULL,
    status    text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (order_id, version)
);
CREATE INDEX order_history_at ON order_history (at, order_id, version);

-- Idempotency keys: an attempt to place an order. The row is written before anything else happens, and the order
-- id with it. Whoever holds the lease works on the attempt; `attempt` tells one holder from the next.
CREATE TABLE order_keys (
    account_id   uuid NOT NULL,
    key          text NOT NULL,
    body_hmac    bytea NOT NULL,
    order_id     uuid NOT NULL,
    attempt      int NOT NULL DEFAULT 1,
    lease_until  timestamptz NOT NULL,
    checkout_id  uuid,           -- claimed before the hold, empty once answered: then the order has it
    lines        jsonb,          -- what the hold is for
    answer       json,           -- as it was sent; json keeps it to the letter
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE UNIQUE INDEX order_keys_order ON order_keys (order_id);
CREATE UNIQUE INDEX order_keys_checkout ON order_keys (checkout_id) WHERE checkout_id IS NOT NULL;
CREATE INDEX order_keys_expires_at ON order_keys (expires_at);

-- kit's outbox, read by order: when was order.placed first sent?
CREATE INDEX outbox_order_placed ON outbox ((data ->> 'order_id')) WHERE topic = 'order.placed.v1';
