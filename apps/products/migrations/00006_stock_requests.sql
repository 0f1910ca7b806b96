-- +goose Up
-- Who wants to hear by mail that a SKU is back.
CREATE TABLE stock_requests (
    id            uuid PRIMARY KEY,     -- random, not a UUIDv7: who knows it may confirm and stop, so only the mails have it
    sku           text NOT NULL,
    email         text NOT NULL,        -- as kit/text writes it
    account_id    uuid,                 -- whose address it is; NULL: a guest's
    asked_at      timestamptz NOT NULL,
    confirmed_at  timestamptz,          -- NULL until a guest has used the link in the mail
    mailed_at     timestamptz,          -- when that link was sent
    told_at       timestamptz,          -- when it was told that the SKU is back
    UNIQUE (sku, email)
);
CREATE INDEX stock_requests_waiting ON stock_requests (sku, confirmed_at) WHERE confirmed_at IS NOT NULL AND told_at IS NULL;
CREATE INDEX stock_requests_email ON stock_requests (email);
CREATE INDEX stock_requests_account ON stock_requests (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX stock_requests_asked ON stock_requests (asked_at);
CREATE INDEX stock_requests_pending ON stock_requests (asked_at) WHERE confirmed_at IS NULL;
CREATE INDEX stock_requests_told ON stock_requests (told_at) WHERE told_at IS NOT NULL;

-- SKUs that came back while somebody waited for them, until all have been told or it is gone again.
CREATE TABLE stock_returns (
    sku  text PRIMARY KEY,
    at   timestamptz NOT NULL
);
