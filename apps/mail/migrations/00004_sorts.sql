-- +goose Up
-- Lists are sorted by what an index walks, id included. In the collation "C" the same index finds how an address begins.
DROP INDEX mails_recipient;
CREATE INDEX mails_recipient ON mails ((lower(recipient) COLLATE "C"), id);

-- Few kinds are rare, and are looked for all the same.
CREATE INDEX mails_kind ON mails (kind, id);

-- Nearly all mails are sent, and have not to be found by that.
DROP INDEX mails_status;
CREATE INDEX mails_status ON mails (status, id) WHERE status <> 'sent';

-- What an account got is asked about its codes alone.
DROP INDEX mails_account;
CREATE INDEX mails_account ON mails (account_id, kind) WHERE expires_at IS NOT NULL;

-- The planner knows nothing of a column whose collation is new, nor of a new expression.
ANALYZE mails;
