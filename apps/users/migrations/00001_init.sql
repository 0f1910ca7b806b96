-- +goose Up
CREATE TABLE profiles (
    account_id   uuid PRIMARY KEY,               -- the sub of the account's tokens
    email        text NOT NULL,
    first_name   text NOT NULL DEFAULT '',
    last_name    text NOT NULL DEFAULT '',
    phone        text,                           -- E.164
    told_at      timestamptz,                    -- of the newest event; null: made from a token's claims
    created_at   timestamptz NOT NULL DEFAULT now(),
    changed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX profiles_email ON profiles (email text_pattern_ops, account_id);

CREATE TABLE addresses (
    id           uuid PRIMARY KEY,
    account_id   uuid NOT NULL REFERENCES profiles ON DELETE CASCADE,
    name         text NOT NULL,
    line1        text NOT NULL,
    line2        text NOT NULL,
    city         text NOT NULL,
    region       text NOT NULL,
    postal_code  text NOT NULL,
    country      text NOT NULL,                  -- ISO 3166-1 alpha-2
    created_at   timestamptz NOT NULL
);
CREATE INDEX addresses_account ON addresses (account_id);
