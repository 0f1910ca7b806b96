-- +goose Up
-- An account may get another e-mail address, once a code that was sent there has come back: Keycloak's user gets it first,
-- then the row.
ALTER TABLE accounts
    ADD COLUMN email_due text COLLATE "C" NOT NULL DEFAULT '', -- proved, and still to be set at Keycloak
    ADD CONSTRAINT accounts_email_due CHECK (email_due = lower(email_due));
DROP INDEX accounts_half_made;
CREATE INDEX accounts_half_made ON accounts (lease_until)
    WHERE status IN ('creating', 'ending') OR (status = 'pending' AND verified_at IS NOT NULL) OR sessions_end_at IS NOT NULL
       OR role_due <> '' OR email_due <> '';
ALTER TABLE codes
    ADD COLUMN email text COLLATE "C" NOT NULL DEFAULT '', -- of change-email: the new address
    DROP CONSTRAINT codes_purpose_check,
    ADD CONSTRAINT codes_purpose_check CHECK (purpose IN ('verify-email', 'password-reset', 'change-email'));
ALTER TABLE code_requests
    DROP CONSTRAINT code_requests_purpose_check,
    ADD CONSTRAINT code_requests_purpose_check CHECK (purpose IN ('verify-email', 'password-reset', 'change-email'));
