-- +goose Up
-- What products are found by is made by products itself now, and "~2" is in all that it makes: the rows that lack it, those
-- that an older instance saved meanwhile among them, are written again in the background (work.go).
CREATE INDEX products_unindexed ON products (id) WHERE NOT search @@ '''~2'''::tsquery;

-- Words that mean the same, as the shop lists them.
CREATE TABLE synonyms (
    position integer PRIMARY KEY,
    words    text[] NOT NULL
);

-- They are folded further now, so these begin no word of the catalogue any more; scripts without spaces are not corrected.
DELETE FROM words WHERE word ~ '[^a-z0-9Ͱ-ϿЀ-ԯ֐-ࣿऀ-෿]';
ANALYZE products;
