-- +goose Up
-- What a shop writes itself: returns, contact, sizes.
CREATE TABLE pages (
    slug        text PRIMARY KEY,
    title       text NOT NULL,
    body        text NOT NULL,             -- Markdown
    published   boolean NOT NULL,
    foot        integer NOT NULL,          -- place among the links in the foot, 0: not there
    categories  text[] NOT NULL,           -- slugs whose products it is the size guide of, what is below them included
    products    text[] NOT NULL,           -- slugs of products likewise; they come first
    version     integer NOT NULL,
    changed_at  timestamptz NOT NULL
);
