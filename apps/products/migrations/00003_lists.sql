-- +goose Up
-- The back office lists all products, not the published ones alone, in the same orders.
DROP INDEX products_price;
DROP INDEX products_name;
CREATE INDEX products_price ON products (price, id);
CREATE INDEX products_name ON products (name, id);
CREATE INDEX products_listed ON products ((coalesce(published_at, updated_at)), id);
ANALYZE products;
