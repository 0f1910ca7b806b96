-- +goose Up
-- An account may be suspended: shut out by an administrator until it is activated again.
ALTER TABLE accounts
    ADD COLUMN role_due       text NOT NULL DEFAULT '' CHECK (role_due IN ('', 'take', 'give')), -- what Keycloak has still to be told
    ADD COLUMN suspended_at   timestamptz,
    ADD COLUMN suspend_reason text NOT NULL DEFAULT '',
    DROP CONSTRAINT accounts_status_check,
    ADD CONSTRAINT accounts_status_check CHECK (status IN ('creating', 'pending', 'active', 'suspended')),
    ADD CONSTRAINT accounts_verified CHECK (status <> 'suspended' OR (verified_at IS NOT NULL AND activated_at IS NOT NULL)),
    ADD CONSTRAINT accounts_suspended CHECK ((status = 'suspended') = (suspended_at IS NOT NULL)),
    ADD CONSTRAINT accounts_role_due CHECK (status = 'suspended' OR role_due = '');
DROP INDEX accounts_half_made;
CREATE INDEX accounts_half_made ON accounts (lease_until)
    WHERE status = 'creating' OR (status = 'pending' AND verified_at IS NOT NULL) OR sessions_end_at IS NOT NULL OR role_due <> '';
