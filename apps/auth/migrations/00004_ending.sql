-- +goose Up
-- A pending account may end: its address is registered anew, or nobody has proved to own it for a day. Keycloak's user
-- is deleted first, then the row.
ALTER TABLE accounts
    DROP CONSTRAINT accounts_status_check,
    ADD CONSTRAINT accounts_status_check CHECK (status IN ('creating', 'pending', 'active', 'suspended', 'ending'));
DROP INDEX accounts_half_made;
CREATE INDEX accounts_half_made ON accounts (lease_until)
    WHERE status IN ('creating', 'ending') OR (status = 'pending' AND verified_at IS NOT NULL) OR sessions_end_at IS NOT NULL OR role_due <> '';
CREATE INDEX accounts_pending ON accounts (created_at) WHERE status = 'pending' AND verified_at IS NULL;
