-- +goose Up
-- What products says about how many one account may have; null: no limit of its own.
ALTER TABLE stock ADD COLUMN max_per_shopper bigint CHECK (max_per_shopper > 0);

-- A declined order's units go back to the cart's hold, so many times at most: the count travels from the cart's hold
-- to the order's line and back.
ALTER TABLE cart_holds ADD COLUMN retries int NOT NULL DEFAULT 0 CHECK (retries >= 0);
ALTER TABLE order_hold_lines
    ADD COLUMN retries int NOT NULL DEFAULT 0 CHECK (retries >= 0),
    ADD COLUMN cart_until timestamptz; -- when the cart's hold would have ended; null: the cart held nothing

ALTER TABLE order_holds DROP CONSTRAINT order_holds_release_reason_check;
ALTER TABLE order_holds ADD CONSTRAINT order_holds_release_reason_check
    CHECK (release_reason IN ('cancelled', 'declined', 'refused', 'void'));

-- Who asks orders, and how far, is in feed_positions.
ALTER TABLE order_holds DROP COLUMN asked_at;
DROP INDEX order_holds_waiting;
CREATE INDEX order_holds_waiting ON order_holds (held_at, order_id) WHERE state = 'held';
CREATE INDEX order_holds_of_shopper ON order_holds (shopper) WHERE state <> 'released'; -- what an account has, for its limit
CREATE INDEX order_holds_tombstones ON order_holds (changed_at) WHERE shopper = '';
