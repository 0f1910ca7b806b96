-- +goose Up
-- What was told of an account is found when the account is deleted (kit's outbox).
CREATE INDEX outbox_account ON outbox ((data ->> 'account_id'));
