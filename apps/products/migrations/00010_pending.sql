-- +goose Up
-- Whoever changes a product when 4 MB of changes are waiting to be put into this index does it for all of them: 80,000 blocks
-- and more than a second at 100,000 products. They are put there sooner, so a sixteenth at a time.
ALTER INDEX products_search SET (gin_pending_list_limit = 256);
