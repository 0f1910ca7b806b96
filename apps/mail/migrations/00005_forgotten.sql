-- +goose Up
-- What is about an account and no order goes with the account.
CREATE INDEX mails_of_account ON mails (account_id) WHERE order_id IS NULL AND account_id IS NOT NULL;
