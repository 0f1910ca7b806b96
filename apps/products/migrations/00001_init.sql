-- +goose Up
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- One row. Its number is renewed in the transaction of every change that shoppers can see; caches of lists
-- are kept under it.
CREATE TABLE catalogue (
    id      boolean PRIMARY KEY DEFAULT true CHECK (id),
    version bigint NOT NULL DEFAULT 1
);
INSERT INTO catalogue DEFAULT VALUES;

CREATE TABLE categories (
    id        uuid PRIMARY KEY,
    slug      text NOT NULL,
    name      text COLLATE "und-x-icu" NOT NULL,
    parent_id uuid REFERENCES categories,
    CONSTRAINT categories_slug UNIQUE (slug)
);
CREATE UNIQUE INDEX categories_name ON categories (coalesce(parent_id, '00000000-0000-0000-0000-000000000000'), lower(name));
CREATE INDEX categories_parent ON categories (parent_id);

CREATE TABLE products (
    id           uuid PRIMARY KEY,
    slug         text NOT NULL,
    name         text COLLATE "und-x-icu" NOT NULL,
    description  text NOT NULL,
    vendor       text NOT NULL,
    category_id  uuid REFERENCES categories,
    tags         text[] NOT NULL,
    option_names text[] NOT NULL,
    attributes   jsonb NOT NULL,
    status       text NOT NULL CHECK (status IN ('draft', 'published', 'unlisted')),
    version      integer NOT NULL,
    published_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    -- What lists show, filter and sort by; kept with the variants.
    price        bigint NOT NULL,  -- the first variant's, 0 without variants
    in_stock     boolean NOT NULL, -- any variant's
    search       tsvector NOT NULL,
    CONSTRAINT products_slug UNIQUE (slug),
    CHECK (status = 'draft' OR published_at IS NOT NULL)
);
CREATE INDEX products_category ON products (category_id);
CREATE INDEX products_search ON products USING gin (search) WHERE status = 'published';
CREATE INDEX products_newest ON products (published_at DESC, id DESC) WHERE status = 'published';
CREATE INDEX products_price ON products (price, id) WHERE status = 'published';
CREATE INDEX products_name ON products (name, id) WHERE status = 'published';

CREATE TABLE variants (
    sku             text PRIMARY KEY,
    product_id      uuid NOT NULL REFERENCES products,
    position        integer NOT NULL,
    options         text[] NOT NULL, -- one value for each of the product's option_names
    price           bigint NOT NULL CHECK (price > 0),
    max_per_shopper integer CHECK (max_per_shopper > 0),
    initial_stock   integer NOT NULL CHECK (initial_stock >= 0),
    image           text NOT NULL,
    -- What inventory said last: by an event (its number), or when asked (its time).
    in_stock        boolean NOT NULL,
    stock_number    bigint NOT NULL DEFAULT 0,
    stock_at        timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE UNIQUE INDEX variants_sku ON variants (lower(sku));
CREATE INDEX variants_product ON variants (product_id, position);

CREATE TABLE images (
    id         uuid PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES products,
    position   integer NOT NULL,
    url        text NOT NULL,
    alt        text NOT NULL
);
CREATE INDEX images_product ON images (product_id, position);

-- Pictures that were uploaded by name, for a product file to name them.
CREATE TABLE pictures (
    name text PRIMARY KEY,
    file text NOT NULL -- in the media folder
);

-- Words of the catalogue, to find what a mistyped word meant. Words stay when their product goes: they
-- only ever help to guess.
CREATE TABLE words (
    word text COLLATE "C" PRIMARY KEY
);
CREATE INDEX words_similar ON words USING gist (word gist_trgm_ops);
