-- +goose Up
-- Lists are sorted by what an index walks, order_id included. In the collation "C" the same index finds how an address
-- begins.
DROP INDEX charges_email_begins;
ALTER TABLE charges ALTER COLUMN email TYPE text COLLATE "C";
CREATE INDEX charges_email ON charges (email, order_id);
CREATE INDEX charges_amount ON charges (amount, order_id);

-- Payments are listed by what became of a refund.
DROP INDEX refunds_failed;
CREATE INDEX refunds_state ON refunds (state, order_id DESC);

-- The planner knows nothing of a column whose collation is new, nor of a new expression.
ANALYZE charges;
