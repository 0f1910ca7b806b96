-- +goose Up
-- Published products that have to be told once more, and then go from here. Those with a limit: events used to name 20
-- where there was none, so inventory learns the limits from now on.
CREATE TABLE untold (
    product_id uuid PRIMARY KEY REFERENCES products
);
INSERT INTO untold
SELECT id FROM products p
WHERE status = 'published' AND EXISTS (SELECT FROM variants WHERE product_id = p.id AND max_per_shopper IS NOT NULL);
