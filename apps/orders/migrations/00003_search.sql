-- +goose Up
-- The back office looks for orders by how number or e-mail address begin.
CREATE INDEX orders_number_begins ON orders (number text_pattern_ops);
CREATE INDEX orders_email_begins ON orders (email text_pattern_ops);
