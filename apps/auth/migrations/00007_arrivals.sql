-- +goose Up
-- Customers of another shop's file, until somebody has proved their address: Keycloak makes a few accounts a second, and whoever
-- registers instead of choosing a password shall have the telephone number and the address that the file had.
CREATE TABLE arrivals (
    id           uuid PRIMARY KEY,
    email        text COLLATE "C" NOT NULL CONSTRAINT arrivals_email UNIQUE,
    first_name   text NOT NULL,
    last_name    text NOT NULL,
    phone        text NOT NULL,            -- E.164, or empty
    address      jsonb,
    invite       boolean NOT NULL,         -- by mail, once
    account_id   uuid,                     -- whom phone and address were told of
    tries        int NOT NULL DEFAULT 0,
    error        text NOT NULL DEFAULT '', -- of the last try
    noted_at     timestamptz NOT NULL,     -- kept for a year from then
    next_try_at  timestamptz,              -- a worker that has it moves it on; null: there is nothing to do
    CHECK (email = lower(email))
);
CREATE INDEX arrivals_due ON arrivals (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX arrivals_failed ON arrivals (next_try_at) WHERE error <> '';
CREATE INDEX arrivals_noted ON arrivals (noted_at);

-- Their accounts have no password, and stay pending until there is one, or for a year from when the file came.
ALTER TABLE accounts ADD COLUMN imported_at timestamptz;
DROP INDEX accounts_pending;
CREATE INDEX accounts_pending ON accounts (created_at) WHERE status = 'pending' AND verified_at IS NULL AND imported_at IS NULL;
CREATE INDEX accounts_imported ON accounts (imported_at) WHERE status = 'pending' AND verified_at IS NULL AND imported_at IS NOT NULL;
