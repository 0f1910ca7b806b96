-- +goose Up
-- One checkout, one order, as before; and which orders a cart's checkouts have, without a look at all that the account
-- ever ordered.
DROP INDEX orders_checkout;
CREATE UNIQUE INDEX orders_checkout ON orders (account_id, checkout_id) WHERE status <> 'cancelled';
