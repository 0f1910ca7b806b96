-- +goose Up
-- Attempts on Keycloak's login page, as its events told when a history was last read. They are apart from `logins`,
-- on which the limits of the API count.
CREATE TABLE page_logins (
    id          uuid PRIMARY KEY, -- made of the event, so that it is kept once; sorts by time, as those of logins do
    account_id  uuid NOT NULL,
    address     text NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('success', 'failed')),
    at          timestamptz NOT NULL
);
CREATE INDEX page_logins_account ON page_logins (account_id, id);
CREATE INDEX page_logins_at ON page_logins (at);
